//! Online status.

use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault, OK};

#[derive(Serialize)]
struct Status {
    code: u16,
    status: &'static str,
}

/// `checkOnline`: "0" for everybody, since no client can connect to this service yet.
pub(super) async fn check_online(call: &Call<'_>) -> Result<Answer, Fault> {
    call.form()?.user_id("userId")?;
    Answer::of(&Status { code: OK, status: "0" })
}
