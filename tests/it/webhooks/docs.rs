//! The snippets of `docs/webhooks.md` verify what is sent.
