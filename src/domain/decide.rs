//! The decision of every command, put together from the aggregates it touches.

use std::collections::HashSet;

use rollcall_schemas::Event;
use rollcall_schemas::ids::{AppId, DataRequestId, ErasureId, Pair, SubjectRef, TokenId};
use rollcall_schemas::plain::{EndCause, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::Issued;
use uuid::Uuid;

use super::command::{Command, ErasureStep, Person};
use super::erasure::{Progress, Request};
use super::user::Status;
use super::values::{Name, Portrait, RequestText};
use super::{
    Context, Decision, IssuedToken, LIST_MAX, Refusal, Reply, World, access, allowlist, allowlist_state, app,
    app_state, ban, ban_state, blocklist, blocklist_state, data_request, data_request_state, erasure, erasure_state,
    friendship, friendship_state, remarks, remarks_state, roster, roster_state, token, token_state, user, user_state,
};

/// The events of one decision, in order.
struct Events<'w> {
    world: &'w dyn World,
    events: Vec<(Stream, Event)>,
}

impl Events<'_> {
    fn push<E: Into<Event>>(&mut self, stream: &Stream, events: impl IntoIterator<Item = E>) {
        self.events.extend(events.into_iter().map(|event| (stream.clone(), event.into())));
    }

    /// Makes sure that the userId of `person` is known; refuses one behind the fence.
    fn unfenced(&mut self, person: &Person) -> Result<SubjectRef, Refusal> {
        let subject = self.mentioned(person)?;
        user_state(self.world, &Stream::User(subject)).unfenced()?;
        Ok(subject)
    }

    fn mentioned(&mut self, person: &Person) -> Result<SubjectRef, Refusal> {
        let subject = person.known()?;
        let stream = Stream::User(subject);
        let state = user_state(self.world, &stream);
        if state.status == Status::Forgotten {
            return Err(Refusal::NotRegistered);
        }
        // A person may stand in one command twice: as owner and target, or in two remarks.
        if !self.events.iter().any(|(written, _)| *written == stream) {
            self.push(&stream, user::mention(state, subject, &person.user_id));
        }
        Ok(subject)
    }
}

/// Decides a command of `app` over the states it reads.
///
/// # Errors
/// Why the state of the world does not allow it; then nothing happened at all.
pub fn decide(app: &AppId, world: &dyn World, context: &Context, command: &Command) -> Result<Decision, Refusal> {
    let app_stream = Stream::App(app.clone());
    let application = app_state(world, &app_stream);
    let mut events = Events { world, events: vec![] };
    if let Command::App(command) = command {
        events.push(&app_stream, app::decide(application, app, command.clone())?);
        return Ok(Decision { events: events.events, reply: Reply::Done });
    }
    if application.registered.is_none() {
        return Err(Refusal::NoSuchApp);
    }
    let reply = match command {
        Command::App(_) => Reply::Done,
        Command::Register(who, name, portrait) => {
            register(app, application, &mut events, context, (who, name, portrait.as_ref()))?
        }
        Command::User(who, command) => change_users(application, &mut events, context, who, command)?,
        Command::Deactivate(who, request) => {
            erase(app, application, &mut events, context, who, (Scope::Deactivate, request))?
        }
        Command::Forget(who, request) => erase(app, application, &mut events, context, who, (Scope::Forget, request))?,
        Command::CancelErasure { erasure, subject, others_wait } => {
            cancel_erasure(&mut events, *erasure, *subject, *others_wait)?
        }
        Command::InvalidateTokens(who, before) => {
            for person in who {
                let subject = person.known()?;
                match user_state(world, &Stream::User(subject)).status {
                    Status::Registered | Status::Restricted | Status::Deactivated { .. } => {}
                    Status::Unknown | Status::Named | Status::Forgotten => return Err(Refusal::NotRegistered),
                }
                let stream = Stream::Token(subject);
                events.push(&stream, token::invalidate(token_state(world, &stream), subject, *before));
            }
            Reply::Done
        }
        Command::Ban(who, command) => {
            for person in who {
                let subject = match command {
                    ban::Command::Ban(..) => events.unfenced(person)?,
                    ban::Command::Lift | ban::Command::Expire => match person.subject {
                        Some(subject) => subject,
                        None => continue,
                    },
                };
                let stream = Stream::Ban(subject);
                events.push(&stream, ban::decide(ban_state(world, &stream), subject, command.clone(), context.now));
            }
            Reply::Done
        }
        Command::ExpireBan(subject) => {
            let stream = Stream::Ban(*subject);
            events.push(&stream, ban::decide(ban_state(world, &stream), *subject, ban::Command::Expire, context.now));
            Reply::Done
        }
        Command::Block(..)
        | Command::Unblock(..)
        | Command::Allow(..)
        | Command::Disallow(..)
        | Command::SetAllowlist(..) => change_lists(&mut events, command)?,
        Command::Befriend { .. } | Command::Unfriend(..) | Command::ClearFriends(..) | Command::DescribeFriend(..) => {
            change_friends(application, &mut events, context, command)?
        }
        Command::Remark(who, remarks) => {
            let owner = events.unfenced(who)?;
            let about: Vec<_> = remarks
                .iter()
                .map(|(p, remark)| Ok((events.unfenced(p)?, remark.clone())))
                .collect::<Result<_, _>>()?;
            let stream = Stream::Remarks(owner);
            events.push(&stream, remarks::remark(remarks_state(world, &stream), owner, &about)?);
            Reply::Done
        }
        Command::Unremark(who, target) => {
            if let (Some(owner), Some(target)) = (who.subject, target.subject) {
                let stream = Stream::Remarks(owner);
                events.push(&stream, remarks::unremark(remarks_state(world, &stream), owner, target));
            }
            Reply::Done
        }
        Command::RecordReads(reads) => {
            for (subject, fields) in reads.iter().filter(|_| application.settings.record_reads) {
                events.push(&Stream::Access(*subject), [access::read(*subject, fields)]);
            }
            Reply::Done
        }
        Command::ReceiveDataRequest(..) | Command::ChangeDataRequest { .. } => {
            register_request(&mut events, context, command)?
        }
        Command::Erasure(step) => {
            advance_erasure(app, &mut events, context, step);
            Reply::Done
        }
    };
    Ok(Decision { events: events.events, reply })
}

fn register(
    app: &AppId,
    application: &app::State,
    events: &mut Events<'_>,
    context: &Context,
    (who, name, portrait): (&Person, &Name, Option<&Portrait>),
) -> Result<Reply, Refusal> {
    let subject = who.known()?;
    let stream = Stream::User(subject);
    let state = user_state(events.world, &stream);
    let command = user::Command::Register(name.clone(), portrait.cloned());
    let registered = user::decide(state, subject, &who.user_id, command, context.now, wait(application))?;
    events.push(&stream, registered);
    if application.is_development() && state.status != Status::Registered {
        let roster = Stream::Roster(app.clone());
        let seated = roster::seat(roster_state(events.world, &roster), app, subject)?;
        events.push(&roster, seated);
    }
    let issued = IssuedToken {
        subject,
        token: TokenId(context.fresh.first().copied().unwrap_or(Uuid::nil())),
        secret: application.current_secret().ok_or(Refusal::NoSuchApp)?,
        epoch: state.epoch,
        issued_at: context.now,
        expires_at: application
            .settings
            .token_lifetime_seconds
            .and_then(|seconds| chrono::Duration::try_seconds(i64::try_from(seconds).ok()?))
            .and_then(|lifetime| context.now.checked_add_signed(lifetime)),
    };
    let IssuedToken { subject, token, secret, epoch, issued_at, expires_at } = issued.clone();
    let event: rollcall_schemas::token::Event = Issued { subject, token, secret, epoch, issued_at, expires_at }.into();
    events.push(&Stream::Token(subject), [event]);
    Ok(Reply::Token(issued))
}

fn wait(application: &app::State) -> chrono::Duration {
    chrono::Duration::seconds(i64::from(application.settings.reactivation_wait_seconds))
}

fn change_users(
    application: &app::State,
    events: &mut Events<'_>,
    context: &Context,
    who: &[Person],
    command: &user::Command,
) -> Result<Reply, Refusal> {
    if let user::Command::SetProfile(changes) = command {
        let undeclared = |key: &str| key.starts_with("ext_") && !application.user_fields.iter().any(|f| f.0 == key);
        if let Some(key) = changes.keys().find(|key| undeclared(&key.0)) {
            return Err(Refusal::UndeclaredField(key.0.clone()));
        }
    }
    let lenient =
        matches!(command, user::Command::Tag(_) | user::Command::MuteDirectMessages(_) | user::Command::QuietPushes(_));
    for person in who {
        let Some(subject) = person.subject else {
            if lenient {
                continue;
            }
            return Err(Refusal::NotRegistered);
        };
        let stream = Stream::User(subject);
        let state = user_state(events.world, &stream);
        let decided = user::decide(state, subject, &person.user_id, command.clone(), context.now, wait(application))?;
        if !decided.is_empty() {
            events.push(&stream, user::mention(state, subject, &person.user_id));
        }
        events.push(&stream, decided);
    }
    Ok(match command {
        user::Command::Reactivate(operation) => Reply::Operation(operation.clone()),
        _ => Reply::Done,
    })
}

/// Requests the erasure of people; begins it at once unless a grace period or a legal hold keeps it waiting.
fn erase(
    app: &AppId,
    application: &app::State,
    events: &mut Events<'_>,
    context: &Context,
    who: &[Person],
    (scope, request): (Scope, &Request),
) -> Result<Reply, Refusal> {
    let world = events.world;
    let grace = application.settings.erasure_grace_seconds;
    let not_before = (grace > 0).then(|| context.now + chrono::Duration::seconds(i64::from(grace)));
    let mut named = HashSet::new();
    for (person, fresh) in who.iter().zip(&context.fresh) {
        let subject = person.known()?;
        let stream = Stream::User(subject);
        let state = user_state(world, &stream);
        if !user::may_erase(state, scope)? || !named.insert(subject) {
            continue;
        }
        let erasure = ErasureId(*fresh);
        let operation = &context.operation;
        let waits = (not_before, state.held);
        let requested = erasure::request(erasure, subject, (scope, operation.clone()), request, waits, context.now);
        let of_erasure = Stream::Erasure(erasure);
        if not_before.is_some() || state.held {
            events.push(&of_erasure, [requested]);
            events.push(&stream, user::restrict(state, subject, erasure, operation));
            let tokens = Stream::Token(subject);
            events.push(&tokens, token::invalidate(token_state(world, &tokens), subject, context.now));
        } else {
            events.push(&of_erasure, [requested]);
            events.push(&stream, user::fence(state, subject, scope, erasure, operation));
            events.push(&of_erasure, [erasure::begin(erasure, subject)]);
            empty_own_streams(app, events, context, subject, scope);
        }
    }
    Ok(Reply::Operation(context.operation.clone()))
}

/// The register of what people ask about their data.
fn register_request(events: &mut Events<'_>, context: &Context, command: &Command) -> Result<Reply, Refusal> {
    let world = events.world;
    match command {
        Command::ReceiveDataRequest(who, kind, due_at) => {
            let subject = who.known()?;
            if matches!(user_state(world, &Stream::User(subject)).status, Status::Unknown | Status::Forgotten) {
                return Err(Refusal::NotRegistered);
            }
            let request = DataRequestId(*context.fresh.first().ok_or(Refusal::NoSuchDataRequest)?);
            let received = data_request::receive(request, subject, *kind, *due_at, context.now);
            events.push(&Stream::DataRequest(request), [received]);
            Ok(Reply::DataRequest(request))
        }
        Command::ChangeDataRequest { request, subject, change } => {
            let stream = Stream::DataRequest(*request);
            // Of somebody who was erased there is no key for a reason any more.
            let erased = matches!(
                user_state(world, &Stream::User(*subject)).status,
                Status::Deactivated { .. } | Status::Forgotten
            );
            let change = match change {
                data_request::Change::Refuse(_) if erased => data_request::Change::Refuse(None),
                change => change.clone(),
            };
            events
                .push(&stream, data_request::decide(*data_request_state(world, &stream), *request, *subject, change)?);
            Ok(Reply::Done)
        }
        _ => Ok(Reply::Done),
    }
}

/// Ends the tokens of a subject and what it keeps about others.
fn empty_own_streams(app: &AppId, events: &mut Events<'_>, context: &Context, subject: SubjectRef, scope: Scope) {
    let world = events.world;
    let tokens = Stream::Token(subject);
    events.push(&tokens, token::invalidate(token_state(world, &tokens), subject, context.now));
    let blocks = Stream::Blocklist(subject);
    events.push(&blocks, blocklist::empty(blocklist_state(world, &blocks), subject));
    let allows = Stream::Allowlist(subject);
    events.push(&allows, allowlist::empty(allowlist_state(world, &allows), subject));
    let noted = Stream::Remarks(subject);
    events.push(&noted, remarks::empty(remarks_state(world, &noted), subject));
    if scope == Scope::Forget {
        let roster = Stream::Roster(app.clone());
        events.push(&roster, roster::vacate(roster_state(world, &roster), app, subject));
    }
}

fn cancel_erasure(
    events: &mut Events<'_>,
    erasure: ErasureId,
    subject: SubjectRef,
    others_wait: bool,
) -> Result<Reply, Refusal> {
    let stream = Stream::Erasure(erasure);
    let cancelled = erasure::cancel(*erasure_state(events.world, &stream), erasure, subject)?;
    if !cancelled.is_empty() && !others_wait {
        let user = Stream::User(subject);
        events.push(&user, user::restore(user_state(events.world, &user), subject, erasure));
    }
    events.push(&stream, cancelled);
    Ok(Reply::Done)
}

fn change_lists(events: &mut Events<'_>, command: &Command) -> Result<Reply, Refusal> {
    let world = events.world;
    let known = |targets: &[Person]| targets.iter().filter_map(|target| target.subject).collect::<Vec<_>>();
    match command {
        Command::Block(who, targets) => {
            let subject = events.unfenced(who)?;
            let targets: Vec<_> = targets.iter().map(|t| events.mentioned(t)).collect::<Result<_, _>>()?;
            let stream = Stream::Blocklist(subject);
            events.push(&stream, blocklist::block(blocklist_state(world, &stream), subject, &targets)?);
        }
        Command::Allow(who, targets) => {
            let subject = events.unfenced(who)?;
            let targets: Vec<_> = targets.iter().map(|t| events.mentioned(t)).collect::<Result<_, _>>()?;
            let stream = Stream::Allowlist(subject);
            events.push(&stream, allowlist::allow(allowlist_state(world, &stream), subject, &targets)?);
        }
        Command::Unblock(Person { subject: Some(subject), .. }, targets) => {
            let stream = Stream::Blocklist(*subject);
            events.push(&stream, blocklist::unblock(blocklist_state(world, &stream), *subject, &known(targets)));
        }
        Command::Disallow(Person { subject: Some(subject), .. }, targets) => {
            let stream = Stream::Allowlist(*subject);
            events.push(&stream, allowlist::disallow(allowlist_state(world, &stream), *subject, &known(targets)));
        }
        Command::SetAllowlist(who, enabled) => {
            for person in who.iter().filter(|person| *enabled || person.subject.is_some()) {
                let subject = events.unfenced(person)?;
                let stream = Stream::Allowlist(subject);
                events.push(&stream, allowlist::set(allowlist_state(world, &stream), subject, *enabled));
            }
        }
        _ => {}
    }
    Ok(Reply::Done)
}

fn change_friends(
    application: &app::State,
    events: &mut Events<'_>,
    context: &Context,
    command: &Command,
) -> Result<Reply, Refusal> {
    let world = events.world;
    let end = |events: &mut Events<'_>, who: &Person, others: &mut dyn Iterator<Item = SubjectRef>, cause| {
        if let Some(by) = who.subject {
            end_friendships(events, by, others, cause);
        }
        Reply::Done
    };
    match command {
        Command::Befriend { who, target, direct, text } => {
            befriend(application, events, context, (who, target), *direct, text.as_ref())
        }
        Command::Unfriend(who, targets) => {
            Ok(end(events, who, &mut targets.iter().filter_map(|target| target.subject), EndCause::Removed))
        }
        Command::ClearFriends(who, friends) => Ok(end(events, who, &mut friends.iter().copied(), EndCause::Cleared)),
        Command::DescribeFriend(who, target, remark, changes) => {
            if let Some(key) = changes.keys().find(|key| !application.friend_fields.contains(key)) {
                return Err(Refusal::UndeclaredField(key.0.clone()));
            }
            let (Some(owner), Some(about)) = (who.subject, target.subject) else { return Err(Refusal::NotFriends) };
            user_state(world, &Stream::User(owner)).unfenced()?;
            user_state(world, &Stream::User(about)).unfenced()?;
            let stream = Stream::Friendship(Pair::of(owner, about).ok_or(Refusal::OwnTarget)?);
            let state = friendship_state(world, &stream);
            let remark = remark.as_ref().map(Option::as_ref);
            events.push(&stream, friendship::describe(state, (owner, about), remark, changes)?);
            Ok(Reply::Done)
        }
        _ => Ok(Reply::Done),
    }
}

fn befriend(
    application: &app::State,
    events: &mut Events<'_>,
    context: &Context,
    (who, target): (&Person, &Person),
    direct: bool,
    text: Option<&RequestText>,
) -> Result<Reply, Refusal> {
    let world = events.world;
    if who.user_id == target.user_id {
        return Err(Refusal::OwnTarget);
    }
    let (from, to) = (events.unfenced(who)?, events.unfenced(target)?);
    let stream = Stream::Friendship(Pair::of(from, to).ok_or(Refusal::OwnTarget)?);
    let permission = if direct {
        None
    } else {
        may_meet(world, from, to)?;
        let own = user_state(world, &Stream::User(to)).permission;
        Some(own.unwrap_or(application.settings.friend_permission))
    };
    let state = friendship_state(world, &stream);
    let decided = friendship::befriend(state, (from, to), permission, text, context.now)?;
    let friends = decided.iter().any(|event| matches!(event, rollcall_schemas::friendship::Event::Befriended(_)));
    if friends && world.friends(from) >= LIST_MAX {
        return Err(Refusal::FriendsFull);
    }
    if friends && world.friends(to) >= LIST_MAX {
        return Err(Refusal::TargetFriendsFull);
    }
    events.push(&stream, decided);
    Ok(if friends { Reply::Friends } else { Reply::Waiting })
}

/// Whether the block and allow lists let `from` approach `to`. An allowlist in force takes the place of its owner's
/// blocklist.
fn may_meet(world: &dyn World, from: SubjectRef, to: SubjectRef) -> Result<(), Refusal> {
    let allows = |owner, other| {
        let list = allowlist_state(world, &Stream::Allowlist(owner));
        (!list.enabled || list.allowed.contains(&other), list.enabled)
    };
    let blocks = |owner, other| blocklist_state(world, &Stream::Blocklist(owner)).blocked.contains(&other);
    match allows(to, from) {
        (false, _) => return Err(Refusal::TargetDoesNotAllow),
        (true, false) if blocks(to, from) => return Err(Refusal::TargetBlocks),
        (true, _) => {}
    }
    match allows(from, to) {
        (false, _) => Err(Refusal::DoesNotAllowTarget),
        (true, false) if blocks(from, to) => Err(Refusal::BlocksTarget),
        (true, _) => Ok(()),
    }
}

fn advance_erasure(app: &AppId, events: &mut Events<'_>, context: &Context, step: &ErasureStep) {
    let stream = Stream::Erasure(step.erasure);
    let state = *erasure_state(events.world, &stream);
    if let erasure::Step::Begin(scope, operation) = &step.step {
        let user = Stream::User(step.subject);
        let person = user_state(events.world, &user);
        // A log that was put back to an earlier state does not know of a request whose keys are gone.
        let lost = state.progress == Progress::Unknown && person.status != Status::Unknown;
        if lost {
            let of_request = (*scope, operation.clone());
            let (request, now) = (Request::default(), context.now);
            let requested = erasure::request(step.erasure, step.subject, of_request, &request, (None, false), now);
            events.push(&stream, [requested]);
        }
        // The hold may have been placed a moment ago: it wins.
        if lost || state.progress == Progress::Requested && !person.held {
            events.push(&user, user::fence(person, step.subject, *scope, step.erasure, operation));
            events.push(&stream, [erasure::begin(step.erasure, step.subject)]);
            empty_own_streams(app, events, context, step.subject, *scope);
        }
        return;
    }
    if state.progress == Progress::Begun {
        end_friendships(events, step.subject, &mut step.friends.iter().copied(), EndCause::Deactivated);
    }
    events.push(&stream, erasure::advance(state, step.erasure, step.subject, step.step.clone()));
}

fn end_friendships(
    events: &mut Events<'_>,
    by: SubjectRef,
    others: &mut dyn Iterator<Item = SubjectRef>,
    cause: EndCause,
) {
    for (other, pair) in others.filter_map(|other| Some((other, Pair::of(by, other)?))) {
        let stream = Stream::Friendship(pair);
        let ended = friendship::end(friendship_state(events.world, &stream), by, other, cause);
        events.push(&stream, ended);
    }
}
