//! What both versions of the platform's Server API share: who signed a request, the numbers of errors, and what is shown of
//! users. The shape of an answer is each version's own.

pub(super) mod answer;
pub(super) mod fault;
pub(super) mod replay_guard;
pub(super) mod routes;
pub(super) mod shown;
pub(super) mod signature;
