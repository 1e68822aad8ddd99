//! `rollcall erasure`: erasures and their reports.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use rollcall_projections::PAGE_MAX;
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, ErasureId};
use rollcall_schemas::plain::Scope;
use uuid::Uuid;

use super::audit::trusted;
use super::{Data, Failure, runtime};
use crate::audit::erasure;
use crate::audit::report::verify::{Verdict, verify};
use crate::audit::report::{issue, pages};
use crate::audit::tree::Keeper;
use crate::domain::erasure::{Cancel, Erase, Request};
use crate::domain::user;
use crate::domain::values::{Reason, UserId};
use crate::engine::{Caller, Engine};
use crate::out::{say, tell};

#[derive(Subcommand)]
pub(super) enum Task {
    /// Verify a report offline: exit 0 final, 3 valid but not final, 1 tampered with, 2 cannot be decided
    Verify {
        /// The report
        report: PathBuf,
        /// A public key of the service that issued it, or a file with such keys
        #[arg(long, required = true)]
        key: Vec<String>,
    },
    /// Erase a user and wait until the erasure is finished
    Request {
        #[command(flatten)]
        who: Who,
        /// Erase the userId as well
        #[arg(long)]
        forget: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Erase a fictitious user and verify the report: exit 0 final, 3 not final yet, 1 and 2 as for verify
    Drill {
        /// The app
        app: AppId,
        #[command(flatten)]
        data: Data,
    },
    /// Cancel an erasure that has not begun
    Cancel {
        /// Its app
        app: AppId,
        /// The erasure
        erasure: Uuid,
        #[command(flatten)]
        data: Data,
    },
    /// List the erasures of an app, the latest first
    List {
        /// The app
        app: AppId,
        /// Most rows to print
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        data: Data,
    },
    /// Print the newest report of an erasure
    Report {
        /// Its app
        app: AppId,
        /// The erasure
        erasure: Uuid,
        /// In which form
        #[arg(long, value_enum, default_value_t = Form::Report)]
        form: Form,
        #[command(flatten)]
        data: Data,
    },
    /// Place a legal hold on a user: no erasure of the user begins while it lasts
    Hold {
        #[command(flatten)]
        who: Who,
        /// Why; encrypted like any personal data
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        data: Data,
    },
    /// Release the legal hold: waiting erasures of the user continue
    Release {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Args)]
pub(super) struct Who {
    /// The app
    app: AppId,
    /// The userId
    user_id: String,
}

impl Who {
    fn user_id(&self) -> Result<UserId, Failure> {
        Ok(UserId::parse("userId", &self.user_id)?)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Form {
    /// The signed report
    Report,
    /// The letter to the person, as HTML
    Letter,
    /// The certificate for an auditor, as HTML
    Certificate,
}

pub(super) fn run(task: Task) -> Result<ExitCode, Failure> {
    match task {
        Task::Verify { report, key } => offline(&report, &key),
        Task::Request { who, forget, data } => {
            let scope = if forget { Scope::Forget } else { Scope::Deactivate };
            let command = Erase { who: vec![who.user_id()?], scope, request: Request::default() };
            with_engine(&data, async |engine, keeper| {
                let caller = Caller { overrides_brake: true, ..Caller::internal(who.app.clone(), Actor::Operator) };
                let operation = engine.execute(&caller, command).await?.reply;
                finish(engine, keeper).await?;
                // One, or one for each subject of the userId.
                let all = erasure_ledger::of_operation(engine.read(), &who.app, &operation, PAGE_MAX).await?;
                all.iter().for_each(print);
                Ok(())
            })
        }
        Task::Drill { app, data } => drill(&app, &data),
        Task::Cancel { app, erasure, data } => with_engine(&data, async |engine, _| {
            let caller = Caller::internal(app.clone(), Actor::Operator);
            engine.execute(&caller, Cancel { erasure: ErasureId(erasure) }).await?;
            applied(engine).await?;
            print(&ledger_row(engine, &app, erasure).await?);
            Ok(())
        }),
        Task::List { app, limit, data } => with_engine(&data, async |engine, _| {
            erasure_ledger::page(engine.read(), &app, None, limit).await?.iter().for_each(print);
            Ok(())
        }),
        Task::Report { app, erasure, form, data } => with_engine(&data, async |engine, keeper| {
            let row = ledger_row(engine, &app, erasure).await?;
            let issued = issue::newest(keeper, engine.vault().as_ref(), row.erasure, engine.now()).await?;
            say!(
                "{}",
                match form {
                    Form::Report => issued.envelope,
                    Form::Letter => pages::letter(&issued),
                    Form::Certificate => pages::certificate(&issued),
                }
            );
            Ok(())
        }),
        Task::Hold { who, reason, data } => {
            let reason = reason.map(|reason| Reason::parse(&reason)).transpose()?;
            change(&data, &who, user::Change::PlaceHold(reason))
        }
        Task::Release { who, data } => change(&data, &who, user::Change::ReleaseHold),
    }
}

fn drill(app: &AppId, data: &Data) -> Result<ExitCode, Failure> {
    let mut verdict = None;
    with_engine(data, async |engine, keeper| {
        let caller = Caller { overrides_brake: true, ..Caller::internal(app.clone(), Actor::Operator) };
        let (operation, _) = erasure::drill::begin(engine, &caller).await?;
        finish(engine, keeper).await?;
        for row in erasure_ledger::of_operation(engine.read(), app, &operation, 1).await? {
            print(&row);
            let issued = issue::newest(keeper, engine.vault().as_ref(), row.erasure, engine.now()).await?;
            verdict = Some(verify(issued.envelope.as_bytes(), &keeper.verifiers()));
        }
        Ok(())
    })?;
    let verdict =
        verdict.ok_or("the erasure of the drill is not in the read model erasure_ledger; run `rollcall verify`")?;
    announce(&verdict);
    Ok(ExitCode::from(verdict.exit_code()))
}

fn with_engine(
    data: &Data,
    task: impl AsyncFnOnce(&Engine, &Keeper) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let data = data.open()?;
    let runtime = runtime()?;
    let service = runtime.block_on(data.start())?;
    let result = runtime.block_on(async {
        let keeper = data.keeper().await?;
        task(&service.engine, &keeper).await?;
        Ok(keeper.close().await?)
    });
    service.stop();
    result.map(|()| ExitCode::SUCCESS)
}

async fn applied(engine: &Engine) -> Result<(), Failure> {
    Ok(engine.all_applied().await?)
}

/// Takes every erasure that is due to its end.
async fn finish(engine: &Engine, keeper: &Keeper) -> Result<(), Failure> {
    while erasure::advance_all(engine, keeper).await? > 0 {}
    Ok(())
}

fn change(data: &Data, who: &Who, change: user::Change) -> Result<ExitCode, Failure> {
    let command = change.of(vec![who.user_id()?]);
    with_engine(data, async |engine, keeper| {
        engine.execute(&Caller::internal(who.app.clone(), Actor::Operator), command).await?;
        finish(engine, keeper).await
    })
}

async fn ledger_row(engine: &Engine, app: &AppId, erasure: Uuid) -> Result<Erasure, Failure> {
    let row = erasure_ledger::by_id(engine.read(), app, ErasureId(erasure)).await?;
    row.ok_or_else(|| format!("{app} has no erasure {erasure}; `rollcall erasure list {app}` shows them").into())
}

fn print(erasure: &Erasure) {
    let Erasure { erasure: id, step, requested_at, due_at, held, .. } = erasure;
    let held = if *held { "\theld" } else { "" };
    say!(
        "{}\t{}\trequested {}\tdue {}{held}",
        id.0,
        step.as_str(),
        requested_at.format("%Y-%m-%dT%H:%M:%SZ"),
        due_at.format("%Y-%m-%d")
    );
}

fn offline(path: &Path, keys: &[String]) -> Result<ExitCode, Failure> {
    // A file that cannot be read is undecided (2), not tampered with (1).
    let read = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    let verdict = match read.map_err(Failure::from).and_then(|report| Ok((report, trusted(keys)?))) {
        Ok((report, trusted)) => verify(&report, &trusted),
        Err(error) => Verdict::Undecidable(error.to_string()),
    };
    announce(&verdict);
    Ok(ExitCode::from(verdict.exit_code()))
}

fn announce(verdict: &Verdict) {
    match verdict {
        Verdict::Final(report) | Verdict::NotFinal(report) => {
            let about = &report.erasure;
            let word = if matches!(verdict, Verdict::Final(_)) { "final" } else { "valid, but not final" };
            say!("{word}: erasure {} of subject {} of {}", about.id.0, about.subject.0, about.app);
            say!("requested {}, report {} of {}", about.requested_at, report.number, report.issued_at);
        }
        Verdict::Tampered(reason) => tell!("rollcall: the report is not to be believed: {reason}"),
        Verdict::Undecidable(reason) => tell!("rollcall: it cannot be decided: {reason}"),
    }
}
