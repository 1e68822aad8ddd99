//! What one user keeps about others: friends, groups of them, blocklist, allowlist.

use std::collections::HashMap;

use rollcall_projections::{Order, PAGE_MAX, allowlists, blocklists, friend_graph, friend_groups};
use rollcall_schemas::ids::SubjectRef;
use serde_json::{Map, Value};

use super::{Error, Exporting};

impl Exporting<'_> {
    /// A friendship is written once, from the side that has a remark, or twice where both have one.
    pub(super) async fn friends_of(&mut self, owner: SubjectRef) -> Result<(), Error> {
        let (read, mut cursor) = (self.engine.read(), None);
        loop {
            let page = friend_graph::page(read, owner, cursor, PAGE_MAX, Order::OldestFirst).await?;
            let Some(last) = page.last() else { return Ok(()) };
            cursor = Some(last.befriended_position);
            let friends: Vec<_> = page.iter().map(|friend| friend.friend).collect();
            let remarks = friend_graph::descriptions(read, owner, &friends).await?;
            let ids = self.user_ids(friends.iter().copied().chain([owner])).await?;
            for (friend, remarks) in friends.into_iter().zip(remarks) {
                let sealed = remarks.into_iter().find(|(field, _)| field == friend_graph::REMARK);
                let about = [friend];
                let remark = self.engine.disclose(&self.caller, &about, |opener| match &sealed {
                    Some((_, sealed)) => opener.open::<Value>(friend, friend_graph::REMARK, sealed),
                    None => Ok(None),
                });
                let remark = remark.await?;
                if (friend < owner && remark.is_none()) || !ids.contains_key(&friend) {
                    continue;
                }
                let mut record = pair(&ids, ("user_id", owner), ("friend_id", friend));
                remark.into_iter().for_each(|remark| drop(record.insert("remark".into(), remark)));
                self.write(record)?;
            }
        }
    }

    /// A group is written once for each friend in it, with its label each time, so that the records may be read in any order;
    /// a group that is empty once alone.
    pub(super) async fn groups_of(&mut self, owner: SubjectRef) -> Result<(), Error> {
        let groups = friend_groups::all(self.engine.read(), owner).await?;
        if groups.is_empty() {
            return Ok(());
        }
        let whose = [owner];
        let labels = self.engine.disclose(&self.caller, &whose, |opener| {
            let open = |group: &friend_groups::Group| opener.open::<Value>(owner, "friend_groups", &group.label);
            groups.iter().map(open).collect::<Result<Vec<_>, _>>()
        });
        for (group, label) in groups.iter().zip(labels.await?) {
            // Erased in this moment.
            let Some(label) = label else { continue };
            let of_group = [("group_id".to_owned(), group.number.into()), ("label".to_owned(), label)];
            self.group((owner, group), Map::from_iter(of_group)).await?;
        }
        Ok(())
    }

    async fn group(
        &mut self,
        (owner, group): (SubjectRef, &friend_groups::Group),
        of_group: Map<String, Value>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = friend_groups::members(self.engine.read(), (owner, group.number), after, PAGE_MAX).await?;
            let ids = self.user_ids(page.iter().copied().chain([owner])).await?;
            if after.is_none() && page.is_empty() {
                let mut record = named(&ids, &[("user_id", owner)]);
                record.extend(of_group);
                return self.write(record);
            }
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for friend in page.iter().filter(|friend| ids.contains_key(friend)) {
                let mut record = pair(&ids, ("user_id", owner), ("friend_id", *friend));
                record.extend(of_group.clone());
                self.write(record)?;
            }
        }
    }

    pub(super) async fn blocked_by(&mut self, owner: SubjectRef) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let page = blocklists::page(self.engine.read(), owner, cursor, PAGE_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            cursor = Some(last.sequence);
            self.targets(owner, page.iter().map(|blocked| blocked.target).collect()).await?;
        }
    }

    /// Whom a user allows, and that the list is in force where it is.
    pub(super) async fn allowed_by(&mut self, owner: SubjectRef) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let page = allowlists::page(self.engine.read(), owner, cursor, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            cursor = Some(last.sequence);
            self.targets(owner, page.iter().map(|allowed| allowed.target).collect()).await?;
        }
        if allowlists::in_force_since(self.engine.read(), &[owner]).await?.iter().any(Option::is_some) {
            let ids = self.user_ids([owner].into_iter()).await?;
            let mut record = named(&ids, &[("user_id", owner)]);
            record.insert("enabled".into(), true.into());
            self.write(record)?;
        }
        Ok(())
    }

    async fn targets(&mut self, owner: SubjectRef, targets: Vec<SubjectRef>) -> Result<(), Error> {
        let ids = self.user_ids(targets.iter().copied().chain([owner])).await?;
        for target in targets.into_iter().filter(|target| ids.contains_key(target)) {
            self.write(pair(&ids, ("user_id", owner), ("target_id", target)))?;
        }
        Ok(())
    }
}

fn named(ids: &HashMap<SubjectRef, Value>, members: &[(&str, SubjectRef)]) -> Map<String, Value> {
    let member = |(name, of): &(&str, SubjectRef)| ids.get(of).map(|id| ((*name).to_owned(), id.clone()));
    members.iter().filter_map(member).collect()
}

fn pair(ids: &HashMap<SubjectRef, Value>, owner: (&str, SubjectRef), other: (&str, SubjectRef)) -> Map<String, Value> {
    named(ids, &[owner, other])
}
