//! Fills a service with users, friendships and blocks, by the commands that a face would give.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::AppId;

use super::super::graph::{FriendGraph, user_id};
use super::super::{Error, KEY, create_app};
use super::{Size, scattered};
use crate::domain::blocklist::Block;
use crate::domain::friendship::Befriend;
use crate::domain::user::Register;
use crate::domain::values::{Invalid, Name, UserId};
use crate::engine::{self, Caller, Engine};
use crate::out::say;
use crate::progress::{progress_bar, show};
use crate::tasks::Runtime;
use crate::wiring::{DataDir, Place};

/// Commands in flight.
const IN_FLIGHT: usize = 512;
/// One of so many users blocks somebody.
const BLOCKS_OF: u32 = 10;
/// How long a command waits that was answered busy.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How often the bar moves.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// One command.
#[derive(Debug, Clone, Copy)]
enum Act {
    Register(u32),
    Befriend(u32, u32),
    Block(u32, u32),
}

fn id(user: u32) -> Result<UserId, Invalid> {
    UserId::parse("userId", &user_id(user))
}

async fn act(engine: &Engine, app: &AppId, act: Act) -> Result<(), Error> {
    let invalid = |error: Invalid| Error::Constant(error.to_string());
    let caller = Caller::internal(app.clone(), Actor::Operator);
    loop {
        let done = match act {
            Act::Register(user) => {
                let name = Name::parse(&format!("Person {user}")).map_err(invalid)?;
                let command = Register { who: id(user).map_err(invalid)?, name, portrait: None };
                engine.execute(&caller, command).await.map(drop)
            }
            Act::Befriend(one, other) => {
                let (who, target) = (id(one).map_err(invalid)?, id(other).map_err(invalid)?);
                engine.execute(&caller, Befriend { who, target, direct: true, text: None }).await.map(drop)
            }
            Act::Block(owner, target) => {
                let (owner, targets) = (id(owner).map_err(invalid)?, vec![id(target).map_err(invalid)?]);
                engine.execute(&caller, Block { owner, targets }).await.map(drop)
            }
        };
        match done {
            Err(engine::Error::Busy | engine::Error::Behind) => tokio::time::sleep(BUSY_WAIT).await,
            done => return Ok(done?),
        }
    }
}

/// Gives all these commands, many of them at once.
async fn all(
    engine: &Arc<Engine>,
    app: &AppId,
    what: &'static str,
    (acts, count): (Box<dyn Iterator<Item = Act> + Send>, u64),
) -> Result<(), Error> {
    let (began, bar) = (Instant::now(), progress_bar(what));
    let (acts, done) = (Arc::new(Mutex::new(acts)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (engine, app, acts, done) = (engine.clone(), app.clone(), acts.clone(), done.clone());
        let giving = async move {
            loop {
                let next = acts.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(next) = next else { return Ok::<_, Error>(()) };
                act(&engine, &app, next).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        tasks.spawn(giving.boxed());
    }
    let mut ticks = tokio::time::interval(SHOWN_EVERY);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.map_err(std::io::Error::other)??,
                None => break,
            },
            _ = ticks.tick() => show(&bar, done.load(Ordering::Relaxed), count),
        }
    }
    bar.finish_and_clear();
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / began.elapsed().as_secs_f64();
    say!("{:<44} {:>24}  {rate:.0}/s, {:.1?}", format!("filled with {what}"), count, began.elapsed());
    Ok(())
}

/// Fills a service in a directory of its own, which is not running afterwards.
pub(super) fn fill(dir: &Path, size: Size, runtime: &Runtime) -> Result<(), Error> {
    let Size { users, edges, seed } = size;
    let graph = FriendGraph::new(users, edges, seed)?;
    let data = DataDir::create(&Place { dir: dir.into(), ..Place::default() })?;
    let service = runtime.block_on(data.start())?;
    let engine = service.engine.clone();
    let keeper = runtime.block_on(data.keeper())?;
    let keeping = runtime.spawn(keeper.run(service.stopping()));
    let app: AppId = KEY.parse().map_err(|_| Error::Constant("the app key is not one".into()))?;
    let filled = runtime.block_on(async {
        create_app(&engine, &app).await?;
        all(&engine, &app, "users", (Box::new((0..users).map(Act::Register)), users.into())).await?;
        let friendships = graph.map(|(one, other)| Act::Befriend(one, other));
        all(&engine, &app, "friendships", (Box::new(friendships), edges)).await?;
        let blocks = users / BLOCKS_OF;
        let target = move |owner: u32| u32::try_from(scattered(u64::from(owner) + 1, users.into())).unwrap_or_default();
        let pairs = (0..blocks).map(|owner| owner * BLOCKS_OF).map(move |owner| (owner, target(owner)));
        let acts = pairs.filter(|(owner, target)| owner != target).map(|(owner, target)| Act::Block(owner, target));
        all(&engine, &app, "blocks", (Box::new(acts), blocks.into())).await?;
        while let Err(error) = engine.all_applied().await {
            if !matches!(error, engine::Error::Behind) {
                return Err(error.into());
            }
        }
        Ok::<_, Error>(())
    });
    drop(engine);
    service.stop();
    runtime.block_on(keeping).map_err(std::io::Error::other)??;
    filled
}
