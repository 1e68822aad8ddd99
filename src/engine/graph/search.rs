//! Which friends of a user have a name: their remarks and names are sealed, so they are opened and compared in memory.

use std::sync::Arc;

use rollcall_projections::friend_graph::Friend;
use rollcall_projections::{Neighbours, Order, Seek, friend_graph, hosted_profiles, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Engine, Error, is_shown};

/// Friends that are looked at together.
const TOGETHER: u32 = 500;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Searched {
    /// What the remark or the name contains, or what the userId begins with; letters in lower and upper case are the same.
    pub text: String,
    /// Which name is looked at.
    pub names: Names,
    /// Which part of the list.
    pub seek: Seek<u64>,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub size: u32,
}

/// Which name of a friend is looked at: the one that whoever searches is shown. Another one would be found out by searching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The registered one.
    Registered,
    /// That of the hosted profile, else the registered one.
    HostedFirst,
}

/// A part of the friends that were searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFriends {
    /// Them.
    pub friends: Vec<Friend>,
    /// Where the parts beside it are.
    pub beside: Neighbours<u64>,
}

impl Engine {
    /// The friends of `owner` whose remark or name contains a text, or whose userId begins with it, without those who are
    /// deactivated. That they were looked at is no read of their data; what is told of them is recorded by
    /// [`Engine::disclose`].
    ///
    /// # Errors
    /// [`Error::Busy`] where too many reads of the app wait, or read models or vault are unavailable.
    pub async fn friends_named(
        self: &Arc<Self>,
        app: &AppId,
        owner: SubjectRef,
        searched: Searched,
    ) -> Result<FoundFriends, Error> {
        let of = app.clone();
        self.in_turn(app, async move |engine| named(engine, &of, owner, searched).await).await
    }
}

async fn named(engine: &Engine, app: &AppId, owner: SubjectRef, searched: Searched) -> Result<FoundFriends, Error> {
    let Searched { text, names, seek, order, size } = searched;
    let place = |row: &Friend| Some(row.befriended_position);
    let (text, wanted, mut friends) = (text.to_lowercase(), usize::try_from(size).unwrap_or(usize::MAX), Vec::new());
    let mut part = Some(seek);
    // One more than asked for tells whether there are others.
    while let Some(at) = part.filter(|_| friends.len() <= wanted) {
        let mut rows = friend_graph::page(engine.read(), owner, at, TOGETHER + 1, order).await?;
        let beside = at.cut(&mut rows, TOGETHER, place);
        let matching = matching(engine, app, owner, &rows, (&text, names)).await?;
        let found = rows.into_iter().zip(matching).filter(|(_, matches)| *matches).map(|(row, _)| row);
        part = match at {
            Seek::After(_) => {
                friends.extend(found);
                beside.next.map(|place| Seek::After(Some(place)))
            }
            Seek::UpTo(_) => {
                drop(friends.splice(0..0, found));
                beside.previous.map(Seek::UpTo)
            }
        };
    }
    let beside = seek.cut(&mut friends, size, place);
    Ok(FoundFriends { friends, beside })
}

/// Which of the friends have the text, in their order.
async fn matching(
    engine: &Engine,
    app: &AppId,
    owner: SubjectRef,
    friends: &[Friend],
    (text, names): (&str, Names),
) -> Result<Vec<bool>, Error> {
    let subjects: Vec<_> = friends.iter().map(|row| row.friend).collect();
    let users = user_directory::by_subjects(engine.read(), app, &subjects).await?;
    let profiles = hosted_profiles::of_subjects(engine.read(), app, &subjects).await?;
    let descriptions = friend_graph::descriptions(engine.read(), owner, &subjects).await?;
    engine.vault().load(&subjects).await?;
    let mut matching = Vec::with_capacity(subjects.len());
    for (((subject, user), profile), description) in subjects.into_iter().zip(users).zip(profiles).zip(descriptions) {
        let Some(user) = user.filter(|user| is_shown(Some(user))) else {
            matching.push(false);
            continue;
        };
        let open = |sealed: Option<&Vec<u8>>| {
            let opened = sealed.map(|sealed| engine.open_text(app, subject, sealed)).transpose()?.flatten();
            Ok::<_, Error>(opened.unwrap_or_default().to_lowercase())
        };
        let remark = description.iter().find(|(field, _)| field == friend_graph::REMARK).map(|(_, sealed)| sealed);
        let profile = profile.as_ref().filter(|_| names == Names::HostedFirst);
        let hosted = profile.and_then(|profile| profile.fields.iter().find(|(name, _)| name.0 == "name"));
        let mut name = open(hosted.map(|(_, sealed)| sealed))?;
        if name.is_empty() {
            name = open(user.name.as_ref())?;
        }
        let matches =
            name.contains(text) || open(remark)?.contains(text) || open(user.user_id.as_ref())?.starts_with(text);
        matching.push(matches);
    }
    Ok(matching)
}
