//! Apps and their credentials, the feed, webhooks, how the service is.

use super::super::{app, credentials, events, operating, webhooks};
use super::{ApiScope, Endpoint, shape};

endpoints! {
    "GET" "app" => app::show, "getApp" Server []
        () => app::AppView, "The caller's app and its settings.";
    "PATCH" "app" => app::change, "changeApp" Server []
        app::AppPatch => app::AppView, "Change settings of the app; the safeguards need `operator` as well.";
    "GET" "events" => events::list, "listEvents" Server
        ["cursor", "limit", "type", "subject", "wait_seconds", "include"]
        () => events::EventPage<'static>, "The events of the app in order, as CloudEvents; a stream where it is asked for.";
    "GET" "api-keys" => credentials::list_keys, "listApiKeys" Operator []
        () => credentials::ApiKeys, "The API keys of the app that are valid, the oldest first.";
    "POST" "api-keys" => credentials::add_key, "addApiKey" Operator []
        credentials::NewApiKey => credentials::AddedApiKey, "Make another API key valid. The key is told only once.";
    "DELETE" "api-keys/{number}" => credentials::retire_key, "retireApiKey" Operator []
        () => (), "End an API key.";
    "GET" "apps/{key}/secrets" => credentials::list_secrets, "listSecrets" Operator []
        () => credentials::Secrets, "The secrets of the app that are valid, the oldest first.";
    "POST" "apps/{key}/secrets" => credentials::add_secret, "addSecret" Operator []
        () => credentials::AddedSecret, "Make another secret valid and current. The secret is told only once.";
    "DELETE" "apps/{key}/secrets/{number}" => credentials::retire_secret, "retireSecret" Operator []
        () => (), "End a secret and the access tokens issued under it; not the last one.";
    "POST" "webhooks" => webhooks::register, "registerWebhook" Operator []
        webhooks::NewWebhook => webhooks::Resource, "Tell a URL of events from here on. The secret is told only once.";
    "GET" "webhooks" => webhooks::list, "listWebhooks" Operator ["cursor", "limit"]
        () => webhooks::Page, "The webhooks of the app, the oldest first, and how far each is.";
    "GET" "webhooks/{id}" => webhooks::show, "getWebhook" Operator []
        () => webhooks::Resource, "One webhook, and how far it is.";
    "PATCH" "webhooks/{id}" => webhooks::change, "changeWebhook" Operator []
        webhooks::WebhookPatch => webhooks::Resource, "Change what a webhook is told, or where; disable or enable it.";
    "DELETE" "webhooks/{id}" => webhooks::remove, "removeWebhook" Operator []
        () => (), "End a webhook.";
    "POST" "webhooks/{id}/secret/rotate" => webhooks::rotate, "rotateWebhookSecret" Operator []
        webhooks::Overlap => webhooks::Resource, "Sign with new keys, for a while with the ones before as well. The secret is told only once.";
    "GET" "webhooks/{id}/deliveries" => webhooks::deliveries, "listWebhookDeliveries" Operator ["state", "cursor", "limit"]
        () => webhooks::Deliveries, "What could not be delivered yet, or was given up.";
    "POST" "webhooks/{id}/replay" => webhooks::replay, "replayWebhook" Operator []
        webhooks::Range => webhooks::Replay, "Send events of the past once more; with dry_run, count them.";
    "POST" "webhooks/{id}/test" => webhooks::test, "testWebhook" Operator []
        () => webhooks::Test, "Send a made-up event now, and tell what became of it.";
    "GET" "status" => operating::status, "getStatus" Operator []
        () => operating::Status, "How the node is that answers.";
    "GET" "read-models" => operating::read_models, "listReadModels" Operator []
        () => operating::ReadModels, "The read models, how far each is, and what it could not apply.";
    "POST" "read-models/{name}/rebuild" => operating::rebuild, "rebuildReadModel" Operator []
        () => operating::RebuildBegun, "Build a read model anew, beside the one that answers meanwhile.";
    "GET" "parked" => operating::parked, "listParked" Operator ["cursor", "limit"]
        () => operating::ParkedPage, "The streams that read models could not apply, the oldest first.";
    "POST" "parked/{stream}/retry" => operating::retry, "retryParked" Operator []
        () => operating::ParkedResults, "Apply the events of a parked stream again.";
    "POST" "parked/{stream}/resolve" => operating::resolve, "resolveParked" Operator []
        operating::Resolution => operating::ParkedResults, "Skip the parked events of a stream from now on.";
    "GET" "nodes" => operating::nodes, "listNodes" Operator []
        () => operating::Nodes, "The nodes of the service.";
    "GET" "apps" => operating::apps, "listApps" Operator ["cursor", "limit"]
        () => operating::Apps, "Every app of the service, by key.";
    "POST" "apps" => operating::create_app, "createApp" Operator []
        operating::NewApp => operating::CreatedApp, "Create an app. Its secret and its API key are told only once.";
}
