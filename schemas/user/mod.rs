//! One user: registration, profile, tags, own settings, deactivation.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveTime, Utc};
use serde_json::Value;

use crate::declare::events;
use crate::ids::{ErasureId, FieldName, OperationId, SubjectRef};
use crate::personal::Personal;
use crate::plain::{FriendPermission, Visibility};

events! { "user", "What happens to a user.";
    /// A userId was used before it was registered, as the target of a block, a friend or a tag call.
    Named = "named" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The app's userId.
        user_id: identity of subject => Personal<String>,
    }
    /// The user was registered.
    Registered = "registered" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The app's userId; absent when the user was named before.
        user_id: identity of subject => Option<Personal<String>>,
        /// Name shown in pushes.
        name: profile of subject => Personal<String>,
        /// Address of the portrait.
        portrait: profile of subject => Option<Personal<String>>,
    }
    /// A registered user was registered again: what is given replaces what was.
    Reregistered = "reregistered" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// New name.
        name: profile of subject => Personal<String>,
        /// New portrait.
        portrait: profile of subject => Option<Personal<String>>,
    }
    /// Name or portrait were modified.
    Modified = "modified" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// New name.
        name: profile of subject => Option<Personal<String>>,
        /// New portrait.
        portrait: profile of subject => Option<Personal<String>>,
    }
    /// Fields of the hosted profile were set; other fields stay.
    ProfileSet = "profile_set" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// New values by field.
        fields: profile of subject => BTreeMap<FieldName, Personal<Value>>,
        /// Fields that have no value any more.
        cleared: plain => BTreeSet<FieldName>,
    }
    /// The hosted profile was cleaned: no field has a value.
    ProfileCleaned = "profile_cleaned" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// The user's tags are these from now on.
    Tagged = "tagged" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// All tags; absent: none.
        tags: profile of subject => Option<Personal<Vec<String>>>,
    }
    /// The user can no longer send direct messages.
    DirectMessagesMuted = "direct_messages_muted" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// The user can no longer send direct messages until a time; one that is muted already gets another end.
    DirectMessagesMutedV2 = "direct_messages_muted" 2 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the mute ends by itself; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
    }
    /// The mute came to its end: the user can send direct messages again.
    DirectMessagesMuteExpired = "direct_messages_mute_expired" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When it ended.
        until: plain => DateTime<Utc>,
    }
    /// The user can send direct messages again.
    DirectMessagesUnmuted = "direct_messages_unmuted" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// Pushes to the user are quiet during these hours of each day.
    PushQuieted = "push_quieted" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When they begin.
        start: plain => NaiveTime,
        /// How long they last, in minutes.
        minutes: plain => u16,
        /// Which pushes are held back, as the platform numbers it.
        level: plain => u8,
    }
    /// Pushes to the user have no quiet hours any more.
    PushUnquieted = "push_unquieted" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// Who may befriend the user.
    FriendPermissionSet = "friend_permission_set" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// Anyone, with approval, nobody.
        permission: plain => FriendPermission,
    }
    /// Who sees more of the user than name and portrait.
    VisibilitySet = "visibility_set" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// Nobody, everybody, friends.
        visibility: plain => Visibility,
    }
    /// The user was deactivated: this is the fence. No command about the user lands behind it.
    Deactivated = "deactivated" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The erasure that goes with it.
        erasure: plain => ErasureId,
        /// What the caller was told.
        operation: plain => OperationId,
    }
    /// The user is to be deactivated and is fenced already: the data is still there, but nobody can read it. The
    /// erasure waits for the end of its grace period or of a legal hold.
    Restricted = "restricted" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The erasure that waits.
        erasure: plain => ErasureId,
        /// What the caller was told.
        operation: plain => OperationId,
    }
    /// The erasure was called off; the user is as before.
    Restored = "restored" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The erasure that was called off.
        erasure: plain => ErasureId,
    }
    /// The user's data must be kept for legal reasons: no erasure of it begins.
    HoldPlaced = "hold_placed" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// Why.
        reason: hold of subject => Option<Personal<String>>,
    }
    /// The user's data need not be kept any more: an erasure that waits goes on.
    HoldReleased = "hold_released" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// The user is active again, with fresh keys and nothing of what was.
    Reactivated = "reactivated" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// Which keys count from now on.
        epoch: plain => u32,
        /// What the caller was told.
        operation: plain => OperationId,
    }
    /// The userId was unlinked: the same userId names a new person from now on.
    Forgotten = "forgotten" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// The erasure that goes with it.
        erasure: plain => ErasureId,
    }
}
