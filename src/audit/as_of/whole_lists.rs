//! Whole lists of the past that were replayed a moment ago, so that the pages of one list need one replay.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rollcall_projections::NumberedPage;
use rollcall_schemas::ids::AppId;

use super::error::Error;
use super::lists::{BansAt, banned, bans};
use super::past::Past;
use super::scratch::{AsOf, Scratch};
use super::when::Moment;

/// Lists that are kept; each takes some disk space.
const KEPT_MAX: usize = 4;
/// How long a list is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_mins(5);

struct Kept {
    position: u64,
    asked_at: Instant,
    scratch: Arc<Scratch>,
}

/// The lists, by position. They hold sealed values only: what is erased after the replay is told as erased.
#[derive(Default)]
pub struct WholeLists(Mutex<Vec<Kept>>);

impl WholeLists {
    /// The bans of an app at a moment. The first page of a position reads the log up to it; the pages that follow are
    /// asked of what was read then.
    ///
    /// # Errors
    /// A part is unavailable.
    pub async fn bans_at(
        &self,
        past: Past<'_>,
        app: &AppId,
        moment: Moment,
        page: NumberedPage,
    ) -> Result<AsOf<BansAt>, Error> {
        let scratch = match self.kept(moment.position) {
            Some(scratch) => scratch,
            None => self.keep(banned(past, moment, &|_, _| {}).await?),
        };
        bans(past, app, &scratch, moment, page).await
    }

    fn lists(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, position: u64) -> Option<Arc<Scratch>> {
        let (mut lists, now) = (self.lists(), Instant::now());
        lists.retain(|kept| now - kept.asked_at < KEPT_FOR);
        let kept = lists.iter_mut().find(|kept| kept.position == position)?;
        kept.asked_at = now;
        Some(kept.scratch.clone())
    }

    fn keep(&self, scratch: Scratch) -> Arc<Scratch> {
        let (mut lists, scratch) = (self.lists(), Arc::new(scratch));
        if lists.len() >= KEPT_MAX
            && let Some(oldest) = (0..lists.len()).min_by_key(|index| lists[*index].asked_at)
        {
            lists.remove(oldest);
        }
        lists.push(Kept { position: scratch.moment.position, asked_at: Instant::now(), scratch: scratch.clone() });
        scratch
    }
}
