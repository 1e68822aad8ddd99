//! Server API v1: what back ends with an official server SDK of the platform speak. Foreign words never leave this
//! folder.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{OperationId, SecretId, SubjectRef};
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
use crate::engine::opening::Opener;
use crate::engine::{App, Caller, Done, Engine};
use crate::live::Live;

mod answer;
mod bans;
mod convert;
mod deactivation;
mod form;
mod friends;
mod groups;
mod lists;
mod online;
mod profiles;
mod remarks;
mod settings;
mod subscriptions;
mod tags;
mod users;

use answer::{Answer, Fault};
use form::Form;

// Every endpoint; all take POST. A handler's name is unique, so that it can be found.
routes! {
    "/user/getToken.json"              => users::register,
    "/user/info.json"                  => users::info,
    "/user/refresh.json"               => users::refresh,
    "/user/token/expire.json"          => users::expire_tokens,
    "/user/query.json"                 => users::query_users,
    "/user/delusers.json"              => users::delete_users,
    "/user/deactivate.json"            => deactivation::deactivate,
    "/user/deactivate/query.json"      => deactivation::query_deactivated,
    "/user/reactivate.json" | "/user/activate.json" => deactivation::reactivate,
    "/user/block.json"                 => bans::ban,
    "/user/unblock.json"               => bans::lift_ban,
    "/user/block/query.json"           => bans::query_banned,
    "/user/checkOnline.json"           => online::check_online,
    "/user/subscribe/set.json"        => subscriptions::subscribe,
    "/user/subscribe/query.json"      => subscriptions::query_subscriptions,
    "/user/blacklist/add.json" | "/user/blocklist/add.json" => lists::block,
    "/user/blacklist/remove.json" | "/user/blocklist/remove.json" => lists::unblock,
    "/user/blacklist/query.json" | "/user/blocklist/query.json" => lists::query_blocklist,
    "/user/whitelist/add.json"         => lists::allow,
    "/user/whitelist/remove.json"      => lists::disallow,
    "/user/whitelist/query.json"       => lists::query_allowlist,
    "/user/whitesetting/set.json"      => lists::set_allowlist,
    "/user/whitesetting/query.json"    => lists::query_allowlist_setting,
    "/user/profile/set.json"           => profiles::set_profile,
    "/user/profile/clean.json"         => profiles::clean_profile,
    "/user/profile/batch/query.json"   => profiles::query_profiles,
    "/user/profile/query.json"         => profiles::list_profiles,
    "/friend/add.json"                 => friends::befriend,
    "/friend/delete.json"              => friends::unfriend,
    "/friend/clean.json"               => friends::clear_friends,
    "/friend/profile/set.json"         => friends::describe_friend,
    "/friend/get.json"                 => friends::list_friends,
    "/friend/check.json"               => friends::check_friends,
    "/friend/permission/set.json"      => friends::permit_friends,
    "/friend/permission/get.json"      => friends::query_permissions,
    "/user/tag/set.json"               => tags::tag,
    "/user/tag/batch/set.json"         => tags::tag_users,
    "/user/tags/get.json"              => tags::query_tags,
    "/user/chat/fb/set.json"           => settings::mute,
    "/user/chat/fb/querylist.json"     => settings::query_muted,
    "/user/blockPushPeriod/set.json"   => settings::quiet_pushes,
    "/user/blockPushPeriod/get.json"   => settings::query_quiet_hours,
    "/user/blockPushPeriod/delete.json" => settings::unquiet_pushes,
    "/user/remarks/set.json"           => remarks::remark,
    "/user/remarks/del.json"           => remarks::unremark,
    "/user/remarks/get.json"           => remarks::query_remarks,
    "/user/group/query.json"           => groups::query_groups,
}

const FACE: &str = "server_v1";

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
    body: Body,
}

impl Call<'_> {
    fn form(&self) -> Result<Form<'_>, Fault> {
        Ok(Form::parse(&self.body)?)
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

    async fn execute<C: Command>(&self, command: C) -> Result<Done<ReplyOf<C>>, Fault> {
        Ok(self.engine.execute(&self.caller(), command).await?)
    }

    /// Makes an answer from personal values of these subjects. The read is recorded if the app has that switched on.
    async fn disclose<T>(
        &self,
        subjects: &[SubjectRef],
        answer: impl FnOnce(&mut Opener<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.engine.disclose(&self.caller(), subjects, answer).await
    }

    /// Executes a command whose caller is told that it is done, nothing else.
    async fn done(&self, command: impl Command) -> Result<Answer, Fault> {
        self.engine.execute_any(&self.caller(), &command).await?;
        Ok(Answer::DONE)
    }

    /// Executes a command whose caller is told how the operation is called.
    async fn operation<C: Command<Resolved: Decide<Reply = OperationId>>>(&self, command: C) -> Result<Answer, Fault> {
        let operation = self.execute(command).await?.reply;
        Answer::of(&convert::Operation { code: answer::OK, operation })
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
pub(super) fn fuzz_form(body: &[u8]) {
    let Ok(form) = Form::parse(body) else { return };
    let _ = (form.user_ids("userId", 100), form.user_id("userId"), form.text("name"));
    let _ = (convert::page(&form, ("page", "size"), (50, 1_000)), convert::permission(&form));
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
    let call = Call { engine, live, rates, endpoint, correlation, app, secret, body };
    exchange::in_time(service.answer_max, route.answer(&call)).await?
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn paths_are_matched_exactly_and_by_their_aliases() {
        for path in ["/user/getToken.json", "/user/activate.json", "/user/blocklist/query.json"] {
            assert!(Route::of(path).is_some(), "{path}");
        }
        for path in ["/user/gettoken.json", "/user/getToken", "/user/getToken.json/", "", "/"] {
            assert!(Route::of(path).is_none(), "{path}");
        }
    }
}
