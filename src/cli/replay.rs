//! `rollcall replay`: the past of a stopped data directory, from a copy of its log.
//!
//! The answer is one JSON document on standard output, the same bytes whenever the same is asked of the same log. It ends
//! with 0 when it answered, 1 when it could not, 2 when it was not asked properly, 3 when it explained a refusal, and
//! 74 when the answer could not be printed.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use rollcall_projections::{NumberedPage, PAGE_MAX, Seek};
use rollcall_schemas::ids::AppId;
use serde::Serialize;

use super::models::{progress_bar, show};
use super::{Data, Failure, runtime};
use crate::audit::as_of::{
    self, Happened, Moment, Past, Range, When, Who, bans_at, deactivated_at, diff, explain, friends_at, history,
    user_at,
};
use crate::out::say;
use crate::wiring::Copy;

/// Which exit code tells of a refusal that was explained.
const REFUSED: u8 = 3;

/// What is shown, and of when.
#[derive(Args)]
pub(super) struct Options {
    /// Data directory; it is only read, and may be a copy
    #[command(flatten)]
    data: Data,
    /// The moment: a position, or a time such as 2026-01-31T12:00:00Z [default: the newest event]
    #[arg(long)]
    until: Option<When>,
    /// For `diff`, the moment to compare with; for `history`, the moment after which it begins [default: 0]
    #[arg(long)]
    from: Option<When>,
    /// Page of a list of up to 1000, counted from 1
    #[arg(long, default_value = "1", value_parser = page)]
    page: NumberedPage,
    /// `user APP USER`, `friends APP USER`, `blocks APP USER`, `history APP USER`, `diff APP USER`, `bans APP`,
    /// `deactivated APP`, or `explain APP COMMAND`, such as `explain APP befriend ada bob`. USER is a userId, or
    /// subject:REFERENCE
    #[arg(long)]
    query: Query,
}

fn page(number: &str) -> Result<NumberedPage, String> {
    let last = NumberedPage::last(PAGE_MAX);
    let number = number.parse().ok().filter(|number| (1..=last).contains(number));
    let page = number.and_then(|number| NumberedPage::new(number, PAGE_MAX).ok());
    page.ok_or_else(|| format!("it is not a number from 1 to {last}"))
}

/// What is asked.
#[derive(Clone)]
enum Query {
    Of(OfUser, AppId, Who),
    Bans(AppId),
    Deactivated(AppId),
    Explain(AppId, as_of::Question),
}

#[derive(Clone, Copy)]
enum OfUser {
    User,
    Friends,
    Blocks,
    History,
    Diff,
}

impl FromStr for Query {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let app = |word: &str| word.parse::<AppId>().map_err(|error| error.to_string());
        let of = |what, key, who: &str| Ok(Self::Of(what, app(key)?, who.parse().map_err(|e| format!("USER: {e}"))?));
        match &words[..] {
            ["user", key, who] => of(OfUser::User, key, who),
            ["friends", key, who] => of(OfUser::Friends, key, who),
            ["blocks", key, who] => of(OfUser::Blocks, key, who),
            ["history", key, who] => of(OfUser::History, key, who),
            ["diff", key, who] => of(OfUser::Diff, key, who),
            ["bans", key] => Ok(Self::Bans(app(key)?)),
            ["deactivated", key] => Ok(Self::Deactivated(app(key)?)),
            ["explain", key, command @ ..] => {
                let command = as_of::command(command).map_err(|error| error.to_string())?;
                Ok(Self::Explain(app(key)?, command))
            }
            _ => {
                Err("it is none of user, friends, blocks, history, diff, bans, deactivated and explain, each with an \
                      APP and what it asks for"
                    .into())
            }
        }
    }
}

impl Query {
    fn app(&self) -> &AppId {
        match self {
            Self::Of(_, app, _) | Self::Bans(app) | Self::Deactivated(app) | Self::Explain(app, _) => app,
        }
    }
}

/// The answer as text, and how the command ends.
type Answer = (String, ExitCode);

/// The blocklist of a user.
#[derive(Serialize)]
struct Blocks {
    subject: rollcall_schemas::ids::SubjectRef,
    blocklist: Vec<as_of::Other>,
    allowlist_enabled: bool,
    allowlist: Vec<as_of::Other>,
}

/// What happened to a user.
#[derive(Serialize)]
struct History {
    #[serde(flatten)]
    moment: Moment,
    subject: rollcall_schemas::ids::SubjectRef,
    events: Vec<Happened>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let copy = Copy::of(&options.data.place())?;
    let bar = progress_bar("events");
    let progress = |done, all| show(&bar, done, all);
    let answered = runtime()?.block_on(async {
        let past = Past::of_stopped(&copy.log, &copy.vault, &copy.read, &progress).await?;
        answer(past, options, &progress).await
    });
    bar.finish_and_clear();
    let (text, code) = answered?;
    say!("{text}");
    Ok(code)
}

async fn answer(past: Past<'_>, options: &Options, progress: &dyn Fn(u64, u64)) -> Result<Answer, Failure> {
    let query = &options.query;
    past.has_app(query.app()).await?;
    let moment = match options.until {
        Some(until) => past.resolve(until).await?,
        None => past.newest().await?,
    };
    let from = past.resolve(options.from.unwrap_or(When::Position(0))).await?;
    let page = options.page;
    match query {
        Query::Of(what, app, who) => of_user(past, *what, app, who, (from, moment)).await,
        Query::Bans(app) => json(&bans_at(past, app, moment, page, progress).await?),
        Query::Deactivated(app) => json(&deactivated_at(past, app, moment, page, progress).await?),
        Query::Explain(app, command) => {
            let explained = explain(past, app, command, moment).await?;
            let (text, _) = json(&explained)?;
            Ok((text, if explained.allowed { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }))
        }
    }
}

async fn of_user(
    past: Past<'_>,
    what: OfUser,
    app: &AppId,
    who: &Who,
    (from, moment): (Moment, Moment),
) -> Result<Answer, Failure> {
    let subject = past.subject(app, who).await?;
    match what {
        OfUser::User => json(&user_at(past, app, subject, moment).await?),
        OfUser::Friends => json(&friends_at(past, app, subject, moment).await?),
        OfUser::Diff => json(&diff(past, app, subject, from, moment).await?),
        OfUser::Blocks => {
            let as_of::AsOf { moment, view, parked } = user_at(past, app, subject, moment).await?;
            let as_of::UserAt { blocklist, allowlist_enabled, allowlist, .. } = view;
            let view = Blocks { subject, blocklist, allowlist_enabled, allowlist };
            json(&as_of::AsOf { moment, view, parked })
        }
        OfUser::History => {
            let mut events: Vec<Happened> = Vec::new();
            let mut after = from.position;
            loop {
                let range = Range { seek: Seek::After(Some(after)), until: moment.position, limit: PAGE_MAX };
                let page = history(past, app, subject, range, false).await?;
                let Some(last) = page.last() else { return json(&History { moment, subject, events }) };
                after = last.position;
                events.extend(page);
            }
        }
    }
}

fn json(answer: &impl Serialize) -> Result<Answer, Failure> {
    Ok((serde_json::to_string_pretty(answer)?, ExitCode::SUCCESS))
}
