//! Names and metadata: what may stand there, told in upstream's words.

mod names;
mod object_meta;

pub use names::{
    NameFormat, config_map_key, dns1035_label, dns1123_label, dns1123_subdomain, label_value, name, path_segment,
    qualified_name,
};
pub use object_meta::{finalizer_warnings, object_meta, object_meta_update};
