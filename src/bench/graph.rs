//! A friend graph of realistic degrees: few users have very many friends and most have few (a power law with the exponent
//! 2.5), and nobody has more than a user can have. The same users, friendships and seed make the same graph.
//!
//! Each user has a weight, and two users are friends with a probability that grows with both weights (the model of Chung and
//! Lu). Candidates are skipped as Miller and Hagberg do it, so that the work is that of the friendships made, and nothing
//! but a weight and a degree per user is kept: a graph of any size is streamed. User 0 has the most friends, the last user
//! the fewest.

use std::io::{self, Write};

use serde::Serialize;

/// Most friends of a user.
pub const FRIENDS_MAX: u16 = 3_000;
/// How fast the weights fall with the number of the user: -1 / (exponent of the power law - 1).
const SLOPE: f64 = -1.0 / 1.5;
/// How often a denser graph is tried until there is one with enough friendships.
const ATTEMPTS_MAX: u32 = 50;

/// Why there is no such graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{users} users cannot have {edges} friendships of this shape: ask for at most a quarter of all pairs, and for 100 \
     friendships per user or fewer"
)]
pub struct TooDense {
    /// How many users.
    pub users: u32,
    /// How many friendships.
    pub edges: u64,
}

/// Pairs of users, each of them once, the lower number first.
#[derive(Debug, Clone)]
pub struct FriendGraph {
    weights: Vec<f64>,
    /// Of all users together.
    weight: f64,
    degrees: Vec<u16>,
    random: SplitMix,
    /// The user whose friends are chosen, and the next candidate.
    at: (usize, usize),
    /// How likely the candidate before was chosen to be looked at.
    chance: f64,
    left: u64,
}

impl FriendGraph {
    /// A graph with exactly so many friendships.
    ///
    /// # Errors
    /// So many users cannot have so many friendships.
    pub fn new(users: u32, edges: u64, seed: u64) -> Result<Self, TooDense> {
        let too_dense = TooDense { users, edges };
        let all = u64::from(users);
        if edges > all * all.saturating_sub(1) / 8 || edges > all * 100 {
            return Err(too_dense);
        }
        // Some candidates are lost to the limits. How many is found out by making the graph.
        let mut wanted = edges;
        for _ in 0..ATTEMPTS_MAX {
            let graph = Self::of_weights(weights(users, wanted), u64::MAX, seed);
            let made = graph.clone().count() as u64;
            if made >= edges {
                return Ok(Self { left: edges, ..graph });
            }
            wanted += (edges - made).max(edges / 200).max(1);
        }
        Err(too_dense)
    }

    fn of_weights(weights: Vec<f64>, left: u64, seed: u64) -> Self {
        let degrees = vec![0; weights.len()];
        let weight = weights.iter().sum();
        let mut graph = Self { weights, weight, degrees, random: SplitMix(seed), at: (0, 0), chance: 0.0, left };
        graph.begin(0);
        graph
    }

    fn begin(&mut self, user: usize) {
        self.at = (user, user + 1);
        self.chance = self.probability(user, user + 1);
    }

    fn probability(&self, one: usize, other: usize) -> f64 {
        let (Some(one), Some(other)) = (self.weights.get(one), self.weights.get(other)) else { return 0.0 };
        (one * other / self.weight).min(1.0)
    }

    fn has_room(&self, user: usize) -> bool {
        self.degrees.get(user).is_some_and(|degree| *degree < FRIENDS_MAX)
    }

    /// The next pair, however many were made.
    fn made(&mut self) -> Option<(usize, usize)> {
        loop {
            let (user, mut candidate) = self.at;
            if user >= self.weights.len() {
                return None;
            }
            if self.chance < 1.0 && self.chance > 0.0 {
                // Each candidate in between would have been passed over with this chance.
                let skipped = self.random.share().ln() / (1.0 - self.chance).ln();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let skipped = skipped.min(u32::MAX.into()) as usize;
                candidate += skipped;
            }
            if candidate >= self.weights.len() || self.chance <= 0.0 || !self.has_room(user) {
                self.begin(user + 1);
                continue;
            }
            // Weights fall, so that who is looked at may be less likely than was assumed.
            let probability = self.probability(user, candidate);
            let chosen = self.random.share() < probability / self.chance;
            (self.at, self.chance) = ((user, candidate + 1), probability);
            if chosen && self.has_room(candidate) {
                for one in [user, candidate] {
                    if let Some(degree) = self.degrees.get_mut(one) {
                        *degree += 1;
                    }
                }
                return Some((user, candidate));
            }
        }
    }
}

impl Iterator for FriendGraph {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        self.left = self.left.checked_sub(1)?;
        let (one, other) = self.made()?;
        Some((u32::try_from(one).ok()?, u32::try_from(other).ok()?))
    }
}

/// The weights of users that have so many friendships, the greatest first. A weight is how many friends its user has on
/// average.
fn weights(users: u32, edges: u64) -> Vec<f64> {
    #[allow(clippy::cast_precision_loss)]
    let wanted = 2.0 * edges as f64;
    // A little more than there may be: some candidates are lost among the greatest, and those are to have all they may.
    let max = (f64::from(FRIENDS_MAX) * 1.1).min(f64::from(users.saturating_sub(1)) * 0.75);
    let weight = |scale: f64, user: u32| (scale * (f64::from(user) + 1.0).powf(SLOPE)).min(max);
    let (mut low, mut high) = (0.0, 1e9);
    // Halved so often, the interval is as narrow as its numbers can tell.
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        let all: f64 = (0..users).map(|user| weight(middle, user)).sum();
        if all < wanted { low = middle } else { high = middle }
    }
    (0..users).map(|user| weight(high, user)).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): six lines that are the same in every version.
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0 and at most 1.
    fn share(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let share = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        share
    }
}

/// The userId of a user of the graph.
#[must_use]
pub fn user_id(user: u32) -> String {
    format!("user{user}")
}

/// One friendship as it is written.
#[derive(Serialize)]
struct Line {
    user_id: String,
    friend_id: String,
}

/// Writes a graph as JSON Lines: `{"user_id":"user0","friend_id":"user7"}`, one friendship a line.
///
/// # Errors
/// It cannot be written.
pub fn write(graph: FriendGraph, out: &mut impl Write) -> io::Result<()> {
    for (one, other) in graph {
        serde_json::to_writer(&mut *out, &Line { user_id: user_id(one), friend_id: user_id(other) })?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    fn degrees(users: u32, edges: u64) -> Vec<u32> {
        let mut degrees = vec![0; usize::try_from(users).unwrap()];
        for (one, other) in FriendGraph::new(users, edges, 1).unwrap() {
            degrees[one as usize] += 1;
            degrees[other as usize] += 1;
        }
        degrees
    }

    #[test]
    fn a_graph_has_the_friendships_that_were_asked_for_each_once() {
        for (users, edges) in [(2, 0), (20, 40), (1_000, 5_000), (5_000, 100_000), (20_000, 100_000)] {
            let pairs: Vec<_> = FriendGraph::new(users, edges, 7).unwrap().collect();
            assert_eq!(pairs.len() as u64, edges, "{users}");
            assert!(pairs.iter().all(|(one, other)| one < other && *other < users));
            assert_eq!(pairs.iter().collect::<HashSet<_>>().len() as u64, edges);
        }
    }

    #[test]
    fn few_users_have_very_many_friends_and_most_have_few() {
        let mut degrees = degrees(100_000, 1_000_000);
        let most = degrees[..20].to_vec();
        assert!(most.contains(&3_000) && most.iter().all(|degree| *degree > 1_500), "{most:?}");
        degrees.sort_unstable();
        assert_eq!(degrees.last(), Some(&3_000));
        let (median, mean) = (degrees[50_000], 20);
        assert!((5..mean).contains(&median), "{median}");
        // Exponent 2.5: about 2.83 times as many users have at least half of a number of friends.
        let at_least = |friends| degrees.len() - degrees.partition_point(|degree| *degree < friends);
        let ratio = at_least(100) * 10 / at_least(200);
        assert!((23..35).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_same_seed_makes_the_same_graph_and_another_one_another() {
        let sum = |seed| {
            let pairs = FriendGraph::new(1_000, 5_000, seed).unwrap();
            pairs.fold(0_u64, |sum, (one, other)| {
                sum.wrapping_mul(0x0100_0000_01b3) ^ (u64::from(one) << 32 | u64::from(other))
            })
        };
        assert_eq!(sum(1), sum(1));
        assert_ne!(sum(1), sum(2));
    }

    #[test]
    fn more_friendships_than_there_can_be_are_refused() {
        for (users, edges) in [(0, 1), (1, 1), (10, 45), (1_000_000, 1_000_000_000)] {
            assert_eq!(FriendGraph::new(users, edges, 1).unwrap_err(), TooDense { users, edges });
        }
    }

    #[test]
    fn a_graph_is_written_one_friendship_a_line() {
        let mut lines = Vec::new();
        write(FriendGraph::new(50, 100, 1).unwrap(), &mut lines).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(lines.lines().count(), 100);
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["user_id"], "user0");
        assert!(first["friend_id"].as_str().unwrap().starts_with("user"));
    }
}
