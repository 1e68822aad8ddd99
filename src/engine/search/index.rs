//! The index of one app's users: their userIds and folded names, in the order of their registration.
//!
//! It is kept in chunks that are never changed, only replaced, so that a search works on what it was given while the next state is
//! made. In a chunk all texts stand in one buffer one behind the other, where a search for bytes passes over some gigabytes a
//! second. No buffer grows, and each is overwritten when it is dropped: an erased name is in memory no more once its chunk was replaced.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use memchr::memmem::Finder;
use rollcall_schemas::ids::SubjectRef;
use zeroize::Zeroizing;

/// Users of a chunk: replacing one copies some ten thousand bytes.
const CHUNK: usize = 1_024;
/// Stands before each text, and in none.
const SEPARATOR: u8 = b'\n';

/// A user as it is found.
pub(super) struct Person {
    pub(super) subject: SubjectRef,
    pub(super) user_id: Zeroizing<String>,
    /// Folded.
    pub(super) name: Zeroizing<String>,
}

/// What is looked for: users of whom all holds that is given.
pub(super) struct Query {
    prefix: Option<Finder<'static>>,
    part: Option<Finder<'static>>,
}

impl Query {
    /// `prefix`: with what the userId begins; `part`: what the name holds, folded.
    pub(super) fn new(prefix: Option<&str>, part: Option<&str>) -> Self {
        let prefix = prefix.map(|prefix| Finder::new(&[&[SEPARATOR], prefix.as_bytes()].concat()).into_owned());
        Self { prefix, part: part.map(|part| Finder::new(part.as_bytes()).into_owned()) }
    }
}

/// Texts in one buffer.
struct Texts {
    bytes: Zeroizing<Vec<u8>>,
    /// Where the separator before each stands, and the end of the last one.
    starts: Vec<u32>,
}

impl Texts {
    fn of<'t>(texts: impl Iterator<Item = &'t [u8]> + Clone) -> Self {
        let length = texts.clone().map(|text| text.len() + 1).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        let mut starts = Vec::with_capacity(CHUNK + 1);
        // A chunk of the longest names has less than 4 GiB by far.
        let end = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for text in texts {
            starts.push(end(&bytes));
            bytes.push(SEPARATOR);
            bytes.extend_from_slice(text);
        }
        starts.push(end(&bytes));
        Self { bytes, starts }
    }

    fn start(&self, index: usize) -> usize {
        self.starts.get(index).map_or(self.bytes.len(), |start| *start as usize)
    }

    /// The text with its separator.
    fn separated(&self, index: usize) -> &[u8] {
        self.bytes.get(self.start(index)..self.start(index + 1)).unwrap_or_default()
    }

    fn get(&self, index: usize) -> &[u8] {
        self.separated(index).get(1..).unwrap_or_default()
    }

    /// The first text from this one on that is found.
    fn next(&self, finder: &Finder<'_>, from: usize) -> Option<usize> {
        let start = self.start(from);
        let at = start + finder.find(self.bytes.get(start..)?)?;
        Some(self.starts.partition_point(|start| *start as usize <= at) - 1)
    }
}

struct Chunk {
    /// Position of the registration, and who.
    people: Vec<(u64, SubjectRef)>,
    user_ids: Texts,
    names: Texts,
}

/// A user of a chunk, or one that is put into it.
type Entry<'e> = (u64, SubjectRef, &'e [u8], &'e [u8]);

impl Chunk {
    fn of(entries: &[Entry<'_>]) -> Self {
        Self {
            people: entries.iter().map(|entry| (entry.0, entry.1)).collect(),
            user_ids: Texts::of(entries.iter().map(|entry| entry.2)),
            names: Texts::of(entries.iter().map(|entry| entry.3)),
        }
    }

    fn first(&self) -> u64 {
        self.people.first().map_or(0, |(position, _)| *position)
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let each = self.people.iter().enumerate();
        each.map(|(index, (position, subject))| (*position, *subject, self.user_ids.get(index), self.names.get(index)))
    }

    /// The first user from this one on that fits.
    fn next(&self, query: &Query, mut from: usize) -> Option<usize> {
        loop {
            // Each of the two passes over what the other one cannot find.
            let by_id = match &query.prefix {
                Some(prefix) => self.user_ids.next(prefix, from)?,
                None => from,
            };
            let found = match &query.part {
                Some(part) => self.names.next(part, by_id)?,
                None => by_id,
            };
            if found == by_id {
                return Some(found).filter(|found| *found < self.people.len());
            }
            from = found;
        }
    }
}

/// A state of the index.
#[derive(Default, Clone)]
pub(super) struct Index {
    chunks: Vec<Arc<Chunk>>,
    users: usize,
}

impl Index {
    /// How many users it has.
    pub(super) fn users(&self) -> usize {
        self.users
    }

    /// At most `limit` users that fit and were registered behind a position, in the order of their registration.
    pub(super) fn find(&self, query: &Query, after: u64, limit: usize) -> Vec<(u64, SubjectRef)> {
        let mut found = Vec::with_capacity(limit);
        let begin = self.chunks.partition_point(|chunk| chunk.first() <= after).saturating_sub(1);
        for chunk in self.chunks.iter().skip(begin) {
            let mut from = chunk.people.partition_point(|(position, _)| *position <= after);
            while let Some(index) = chunk.next(query, from) {
                found.extend(chunk.people.get(index));
                if found.len() == limit {
                    return found;
                }
                from = index + 1;
            }
        }
        found
    }

    /// The last users that fit and were registered up to a position, at most `limit`, in the order of their registration.
    pub(super) fn find_back(&self, query: &Query, up_to: u64, limit: usize) -> Vec<(u64, SubjectRef)> {
        let mut found = Vec::with_capacity(limit);
        let end = self.chunks.partition_point(|chunk| chunk.first() <= up_to);
        for chunk in self.chunks.iter().take(end).rev() {
            let bound = chunk.people.partition_point(|(position, _)| *position <= up_to);
            let fitting = iter::successors(chunk.next(query, 0), |index| chunk.next(query, index + 1));
            let fitting: Vec<_> = fitting.take_while(|index| *index < bound).collect();
            found.extend(fitting.iter().rev().filter_map(|index| chunk.people.get(*index)));
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        found.reverse();
        found
    }

    /// When a user was registered that is in the index. Looks at all of them.
    pub(super) fn position_of(&self, subject: SubjectRef) -> Option<u64> {
        let all = self.chunks.iter().flat_map(|chunk| &chunk.people);
        all.into_iter().find(|(_, other)| *other == subject).map(|(position, _)| *position)
    }

    /// The state after users were put in or taken out, each named by the position of its registration.
    pub(super) fn with(&self, edits: &BTreeMap<u64, Option<Person>>) -> Self {
        let mut next = Self { chunks: Vec::with_capacity(self.chunks.len() + 1), users: 0 };
        let end_of = |number: usize| self.chunks.get(number + 1).map_or(u64::MAX, |chunk| chunk.first());
        for number in 0..self.chunks.len().max(1) {
            let chunk = self.chunks.get(number);
            let begin = if number == 0 { 0 } else { chunk.map_or(0, |chunk| chunk.first()) };
            let mut edits = edits.range(begin..end_of(number)).peekable();
            match chunk {
                Some(chunk) if edits.peek().is_none() => next.push(Arc::clone(chunk)),
                chunk => {
                    let old = chunk.into_iter().flat_map(|chunk| chunk.entries()).map(|old| (old.0, Some(old)));
                    let mut entries: BTreeMap<u64, Option<Entry<'_>>> = old.collect();
                    entries.extend(edits.map(|(position, person)| {
                        let entry = person.as_ref().map(|person| {
                            (*position, person.subject, person.user_id.as_bytes(), person.name.as_bytes())
                        });
                        (*position, entry)
                    }));
                    let entries: Vec<_> = entries.into_values().flatten().collect();
                    entries.chunks(CHUNK).for_each(|entries| next.push(Arc::new(Chunk::of(entries))));
                }
            }
        }
        next
    }

    fn push(&mut self, chunk: Arc<Chunk>) {
        self.users += chunk.people.len();
        self.chunks.push(chunk);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn subject(position: u64) -> SubjectRef {
        SubjectRef(Uuid::from_u128(position.into()))
    }

    fn person(position: u64, user_id: &str, name: &str) -> Option<Person> {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        Some(Person { subject: subject(position), user_id: text(user_id), name: text(name) })
    }

    fn positions(found: Vec<(u64, SubjectRef)>) -> Vec<u64> {
        assert!(found.iter().all(|(position, who)| *who == subject(*position)));
        found.into_iter().map(|(position, _)| position).collect()
    }

    #[test]
    fn a_prefix_is_of_the_user_id_and_a_part_may_stand_anywhere_in_the_name() {
        let edits = [(1, "ada", "ada lovelace"), (5, "adam", "eve"), (9, "bada", "ada"), (12, "eve", "")];
        let edits = edits.map(|(position, id, name)| (position, person(position, id, name)));
        let index = Index::default().with(&edits.into());
        let find = |prefix, part| positions(index.find(&Query::new(prefix, part), 0, 10));
        assert_eq!(find(Some("ada"), None), [1, 5]);
        assert_eq!(find(None, Some("ada")), [1, 9]);
        assert_eq!(find(None, Some("a l")), [1]);
        assert_eq!(find(Some("ada"), Some("ev")), [5]);
        assert_eq!(find(Some("b"), Some("eve")), [0; 0], "no text goes over into the next one");
        assert_eq!(find(Some("x"), None), [0; 0]);
        assert_eq!(find(None, None), [1, 5, 9, 12]);
        let query = Query::new(None, Some("ada"));
        assert_eq!((positions(index.find(&query, 1, 10)), positions(index.find(&query, 0, 1))), (vec![9], vec![1]));
        let index = index.with(&[(9, None), (5, person(5, "adam", "ada")), (7, None)].into());
        assert_eq!((positions(index.find(&query, 0, 10)), index.users()), (vec![1, 5], 3));
        assert_eq!((index.position_of(subject(5)), index.position_of(subject(9))), (Some(5), None));
        let index = index.with(&[(1, None), (5, None), (12, None)].into());
        assert_eq!((index.users(), index.chunks.len()), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_put_in_and_taken_out_a_search_finds_what_a_look_at_each_finds(
            steps in proptest::collection::vec(
                proptest::collection::vec((0..4_000_u64, proptest::option::of("[abc]{0,3}")), 1..600),
                1..6,
            ),
            (prefix, part) in ("[abc]{0,2}", "[abc]{0,2}"),
        ) {
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for edits in &steps {
                let of = |name: &String| name.chars().rev().collect::<String>();
                index = index.with(&edits.iter().map(|(position, name)| {
                    (position + 1, name.as_ref().and_then(|name| person(position + 1, &of(name), name)))
                }).collect());
                for (position, name) in edits {
                    match name {
                        Some(name) => drop(model.insert(position + 1, (of(name), name.clone()))),
                        None => drop(model.remove(&(position + 1))),
                    }
                }
            }
            prop_assert_eq!(index.users(), model.len());
            prop_assert!(index.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.people.len())));
            let fits = |id: &str, name: &str| id.starts_with(&prefix) && name.contains(&part);
            let expected: Vec<_> =
                model.iter().filter(|(_, (id, name))| fits(id, name)).map(|(position, _)| *position).collect();
            let query = Query::new(Some(&prefix), Some(&part));
            prop_assert_eq!(&positions(index.find(&query, 0, 10_000)), &expected);
            // Page by page it is the same.
            let (mut paged, mut after) = (vec![], 0);
            loop {
                let page = positions(index.find(&query, after, 7));
                let Some(last) = page.last() else { break };
                after = *last;
                paged.extend(page);
            }
            prop_assert_eq!(&paged, &expected);
            // And from the end.
            let (mut paged, mut up_to) = (vec![], u64::MAX);
            loop {
                let page = positions(index.find_back(&query, up_to, 7));
                let Some(first) = page.first() else { break };
                up_to = first - 1;
                paged.splice(0..0, page);
            }
            prop_assert_eq!(paged, expected);
        }
    }
}
