//! Groups of a user.

use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault, OK};

#[derive(Serialize)]
struct Groups {
    code: u16,
    groups: [(); 0],
}

/// `group/query`: none, since this service keeps users and not groups.
pub(super) async fn query_groups(call: &Call<'_>) -> Result<Answer, Fault> {
    call.form()?.user_id("userId")?;
    Answer::of(&Groups { code: OK, groups: [] })
}
