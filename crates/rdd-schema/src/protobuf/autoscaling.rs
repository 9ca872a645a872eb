//! `k8s.io/api/autoscaling/v1`: the `Scale` that stands for a kind's number of replicas.

use super::meta::OBJECT_META;
use super::table::Type::{Int32, Message as Msg, String as Text};
use super::table::{Message, always, field};

/// `autoscaling/v1` `Scale`.
pub static SCALE: Message = Message {
    name: "Scale",
    fields: &[
        always(1, "metadata", Msg(&OBJECT_META)),
        always(2, "spec", Msg(&SCALE_SPEC)),
        always(3, "status", Msg(&SCALE_STATUS)),
    ],
};

static SCALE_SPEC: Message = Message { name: "ScaleSpec", fields: &[field(1, "replicas", Int32)] };

static SCALE_STATUS: Message =
    Message { name: "ScaleStatus", fields: &[always(1, "replicas", Int32), field(2, "selector", Text)] };
