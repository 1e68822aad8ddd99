//! What a login costs a user with many logins behind it, compared with a new user: the first one after a restart, when
//! nothing is in memory.

use std::time::{Duration, Instant};

use rollcall_schemas::Event;
use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef, TokenId};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::{self, Issued};
use rollcall_schemas::user::{self, Reregistered};
use uuid::Uuid;

use super::{Error, register};
use crate::domain::values::UserId;
use crate::engine::{self, Engine, journal};
use crate::eventlog::{Append, Item};
use crate::out::say;
use crate::tasks::Runtime;
use crate::wiring::DataDir;

/// Logins of the old user.
const LOGINS: u64 = 100_000;
/// Events appended together.
const TOGETHER: u64 = 1_000;
/// How often the service is started and both users log in.
const STARTS: usize = 15;

/// Records logins as a version without snapshots did, behind revision 1 of both streams.
async fn log_in(engine: &Engine, app: &AppId, subject: SubjectRef) -> Result<(), Error> {
    let actor = Actor::Server(SecretId(1));
    let metadata = Metadata { app: app.clone(), actor, correlation: Uuid::new_v4(), causation: None };
    let issued_at = engine.now();
    let user = || -> user::Event {
        Reregistered { subject, name: Personal::Present("somebody".into()), portrait: None }.into()
    };
    let token = || -> token::Event {
        let (token, secret) = (TokenId(Uuid::new_v4()), SecretId(1));
        Issued { subject, token, secret, epoch: 0, issued_at, expires_at: None }.into()
    };
    for first in (0..LOGINS).step_by(usize::try_from(TOGETHER).unwrap_or(usize::MAX)) {
        let mut item = Item::default();
        for stream in [Stream::User(subject), Stream::Token(subject)] {
            let event = || -> Event { if matches!(stream, Stream::User(_)) { user().into() } else { token().into() } };
            let name = stream.to_string();
            let encoded = |_| journal::encode(engine.vault().as_ref(), &name, &metadata, issued_at, event(), None);
            let events = (0..TOGETHER).map(encoded).collect::<Result<_, _>>();
            let events = events.map_err(|error| Error::Constant(error.to_string()))?;
            item.appends.push(Append { stream: name.clone(), expected: 1 + first, events });
        }
        engine.log().append(vec![item]).await?;
    }
    // So many events are applied for longer than a caller would wait.
    loop {
        match engine.all_applied().await {
            Err(engine::Error::Behind) => {}
            applied => return Ok(applied?),
        }
    }
}

async fn timed(engine: &Engine, app: &AppId, user_id: &str) -> Result<Duration, Error> {
    let began = Instant::now();
    register(engine, app, user_id).await?;
    Ok(began.elapsed())
}

/// Gives a user a hundred thousand logins, and lets it and a new one log in after a restart.
pub(super) fn measure(data: &DataDir, runtime: &Runtime, app: &AppId) -> Result<(), Error> {
    let service = runtime.block_on(data.start())?;
    let engine = service.engine.clone();
    let whole = runtime.block_on(async {
        register(&engine, app, "old").await?;
        let old = UserId::parse("userId", "old").map_err(|error| Error::Constant(error.to_string()))?;
        let Some(subject) = engine.find(app, &old).await? else {
            return Err(Error::Constant("the user is not found".into()));
        };
        for number in 0..STARTS {
            register(&engine, app, &format!("new{number}")).await?;
        }
        log_in(&engine, app, subject).await?;
        // The state in memory is not that of the log any more: all is read once.
        timed(&engine, app, "old").await
    })?;
    drop(engine);
    service.stop();

    let (mut new, mut old) = (vec![], vec![]);
    for start in 0..STARTS {
        let service = runtime.block_on(data.start())?;
        let engine = service.engine.clone();
        runtime.block_on(async {
            // What the first command of all has to find out is not theirs.
            register(&engine, app, "other").await?;
            new.push(timed(&engine, app, &format!("new{start}")).await?);
            old.push(timed(&engine, app, "old").await?);
            Ok::<_, Error>(())
        })?;
        drop(engine);
        service.stop();
    }
    new.sort_unstable();
    old.sort_unstable();
    let median = |times: &[Duration]| times.get(STARTS / 2).copied().unwrap_or_default();
    say!(
        "{:<44} new user {:>8.2?}  after {LOGINS} logins {:>8.2?}  (once, without a snapshot {whole:.1?})",
        "second login, nothing in memory",
        median(&new),
        median(&old)
    );
    Ok(())
}
