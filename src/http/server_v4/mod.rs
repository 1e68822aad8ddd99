//! Server API v4: what back ends with a server SDK of Nexconn speak, the successor of the platform's v1. Foreign words never
//! leave this folder.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{OperationId, SecretId};
use uuid::Uuid;

use super::exchange::{Body, Incoming};
use super::platform::routes::routes;
use super::platform::shown::Reader;
use super::platform::signature;
use super::rates::{Endpoint, Rates};
use super::served::Served;
use super::{Service, exchange, request_log};
use crate::domain::values::UserId;
use crate::domain::{Command, Decide, ReplyOf};
use crate::engine::{App, Caller, Done, Engine};
use crate::live::Live;

mod answer;
mod bans;
mod deletion;
mod friends;
mod lists;
mod mutes;
mod params;
mod profiles;
mod tags;
mod users;

use answer::{Answer, Fault};
use params::Params;

// Every endpoint; all take POST. A handler is named as the method of the SDKs.
routes! {
    "/v4/auth/access-token/issue"      => users::issue_access_token,
    "/v4/auth/access-token/expire"     => users::expire_access_token,
    "/v4/user/get"                     => users::get_user,
    "/v4/user/update"                  => users::update_user,
    "/v4/user/connection-status/get"   => users::get_user_connection_status,
    "/v4/user/soft-delete"             => deletion::soft_delete_users,
    "/v4/user/restore"                 => deletion::restore_users,
    "/v4/user/soft-deleted/list"       => deletion::list_soft_deleted_users,
    "/v4/user/ban"                     => bans::ban_users,
    "/v4/user/unban"                   => bans::unban_users,
    "/v4/user/ban/list"                => bans::list_banned_users,
    "/v4/channel-type/mute/set"        => mutes::set_channel_type_mute,
    "/v4/channel-type/mute/list"       => mutes::list_channel_type_mute,
    "/v4/user/tag/batch/set"           => tags::batch_set_user_tags,
    "/v4/user/tag/batch/get"           => tags::batch_get_user_tags,
    "/v4/user/blocklist/add"           => lists::add_user_blocklist,
    "/v4/user/blocklist/remove"        => lists::remove_user_blocklist,
    "/v4/user/blocklist/get"           => lists::get_user_blocklist,
    "/v4/user/profile/set"             => profiles::set_user_profile,
    "/v4/user/profile/delete"          => profiles::delete_user_profiles,
    "/v4/user/profile/batch/get"       => profiles::batch_get_user_profiles,
    "/v4/user/profile/list"            => profiles::list_user_profiles,
    "/v4/friend/add"                   => friends::add_friend,
    "/v4/friend/remove" | "/v4/friend/delete" => friends::remove_friends,
    "/v4/friend/remove-all"            => friends::remove_all_friends,
    "/v4/friend/profile/set"           => friends::set_friend_profile,
    "/v4/friend/list"                  => friends::list_friends,
    "/v4/friend/relationship/get"      => friends::get_friend_relationships,
    "/v4/friend/permission/set"        => friends::set_friend_permission,
    "/v4/friend/permission/get"        => friends::get_friend_permission,
}

const FACE: &str = "server_v4";

/// One authenticated call.
struct Call<'s> {
    engine: &'s Engine,
    live: &'s Live,
    rates: &'s Rates,
    endpoint: Endpoint,
    correlation: Uuid,
    app: Arc<App>,
    /// The secret it was signed with.
    secret: SecretId,
    headers: &'s HeaderMap,
    body: Body,
}

impl Call<'_> {
    fn params(&self) -> Result<Params, Fault> {
        Ok(Params::parse(&self.body)?)
    }

    fn caller(&self) -> Caller {
        Caller {
            app: self.app.id.clone(),
            actor: Actor::Server(self.secret),
            correlation: self.correlation,
            idempotency: None,
            overrides_brake: false,
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { engine: self.engine, caller: self.caller() }
    }

    /// Whether the caller is told members that only the documentation names. An official SDK is not: one of them fails on a
    /// member that it does not declare.
    fn takes_undeclared(&self) -> bool {
        let agent = self.headers.get(&USER_AGENT).and_then(|agent| agent.to_str().ok());
        agent.is_none_or(|agent| !agent.to_ascii_lowercase().starts_with("nexconn-sdk-"))
    }

    async fn execute<C: Command>(&self, command: C) -> Result<Done<ReplyOf<C>>, Fault> {
        Ok(self.engine.execute(&self.caller(), command).await?)
    }

    /// Executes a command whose caller is told that it is done, nothing else.
    async fn done(&self, command: impl Command) -> Result<Answer, Fault> {
        self.engine.execute_any(&self.caller(), &command).await?;
        Ok(Answer::DONE)
    }

    /// Executes a command whose caller is told how the operation is called.
    async fn operation<C: Command<Resolved: Decide<Reply = OperationId>>>(&self, command: C) -> Result<Answer, Fault> {
        let operation_id = self.execute(command).await?.reply;
        Answer::of(&deletion::Operation { operation_id })
    }

    /// Counts the users whom a call names, where the platform counts them and not the call.
    ///
    /// # Errors
    /// They are more than the app may name now.
    fn counted(&self, users: Vec<UserId>) -> Result<Vec<UserId>, Fault> {
        // One was counted with the call.
        self.rates.take(&self.app, self.endpoint, users.len().saturating_sub(1)).map_err(Fault::TooOften)?;
        Ok(users)
    }

    /// Waits until the read models hold every command of the app that was acknowledged before this call.
    async fn caught_up(&self) -> Result<(), Fault> {
        Ok(self.engine.caught_up(&self.app.id).await?)
    }
}

/// Reads a body in each way that a handler does.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz_params(body: &[u8]) {
    let Ok(params) = Params::parse(body) else { return };
    let _ = (params.user_ids("userIds", 100), params.page(50, 100), params.required_number("muteState", 0, 1));
}

/// Answers whatever was asked of `path`, whose runs of slashes are one slash each.
pub(super) async fn answer(
    service: &Service,
    request: &HttpRequest,
    incoming: &mut Incoming,
    path: &str,
) -> HttpResponse {
    let route = Route::of(path);
    let served = Served::by(FACE, route.map(|route| (route.name(), route.path())));
    request_log::routed(served);
    let outcome = serve(service, request, incoming, route).await;
    let mut response = answer::respond(request, path, outcome);
    served.note(&mut response);
    response
}

async fn serve(
    service: &Service,
    request: &HttpRequest,
    incoming: &mut Incoming,
    route: Option<Route>,
) -> Result<Answer, Fault> {
    let route = route.ok_or(Fault::NoSuchEndpoint)?;
    if request.method() != Method::POST {
        return Err(Fault::NotPost);
    }
    let engine = service.engine.as_ref();
    // The body is read only after authentication, so that strangers cannot make the service hold it in memory.
    let (app, secret) = service.authenticated(
        request,
        || signature::authenticate(engine, &service.replay_guard, request.headers()),
        Fault::Slowed,
        |fault| matches!(fault, Fault::Unauthenticated) && signature::is_shown(request.headers()),
    )?;
    request_log::of_app(&app.id);
    let endpoint = (FACE, route.name());
    service.rates.take(&app, endpoint, 1).map_err(Fault::TooOften)?;
    let body = incoming.read(&service.bodies, &app.id).await.map_err(Fault::Unread)?;
    let (live, rates, correlation) = (&*service.live, &service.rates, exchange::correlation(request));
    let headers = request.headers();
    let call = Call { engine, live, rates, endpoint, correlation, app, secret, headers, body };
    exchange::in_time(service.answer_max, route.answer(&call)).await?
}
