//! `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1`: the CustomResourceDefinition.

use super::meta::OBJECT_META;
use super::table::Type::{Bool, Bytes, Double, Int32, Int64, Json, Message as Msg, String as Text, Time};
use super::table::{Message, Type, always, field, list, pointer};

/// `apiextensions.k8s.io/v1` `CustomResourceDefinition`.
pub static CUSTOM_RESOURCE_DEFINITION: Message = Message {
    name: "CustomResourceDefinition",
    fields: &[
        always(1, "metadata", Msg(&OBJECT_META)),
        always(2, "spec", Msg(&SPEC)),
        always(3, "status", Msg(&STATUS)),
    ],
};

static SPEC: Message = Message {
    name: "CustomResourceDefinitionSpec",
    fields: &[
        always(1, "group", Text),
        always(3, "names", Msg(&NAMES)),
        always(4, "scope", Text),
        list(7, "versions", Msg(&VERSION)),
        pointer(9, "conversion", Msg(&CONVERSION)),
        field(10, "preserveUnknownFields", Bool),
    ],
};

static NAMES: Message = Message {
    name: "CustomResourceDefinitionNames",
    fields: &[
        always(1, "plural", Text),
        field(2, "singular", Text),
        list(3, "shortNames", Text),
        always(4, "kind", Text),
        field(5, "listKind", Text),
        list(6, "categories", Text),
    ],
};

static VERSION: Message = Message {
    name: "CustomResourceDefinitionVersion",
    fields: &[
        always(1, "name", Text),
        always(2, "served", Bool),
        always(3, "storage", Bool),
        pointer(4, "schema", Msg(&VALIDATION)),
        pointer(5, "subresources", Msg(&SUBRESOURCES)),
        list(6, "additionalPrinterColumns", Msg(&COLUMN)),
        field(7, "deprecated", Bool),
        pointer(8, "deprecationWarning", Text),
        list(9, "selectableFields", Msg(&SELECTABLE_FIELD)),
    ],
};

static VALIDATION: Message =
    Message { name: "CustomResourceValidation", fields: &[pointer(1, "openAPIV3Schema", Msg(&JSON_SCHEMA_PROPS))] };

static SUBRESOURCES: Message = Message {
    name: "CustomResourceSubresources",
    fields: &[pointer(1, "status", Msg(&STATUS_SUBRESOURCE)), pointer(2, "scale", Msg(&SCALE))],
};

static STATUS_SUBRESOURCE: Message = Message { name: "CustomResourceSubresourceStatus", fields: &[] };

static SCALE: Message = Message {
    name: "CustomResourceSubresourceScale",
    fields: &[
        always(1, "specReplicasPath", Text),
        always(2, "statusReplicasPath", Text),
        pointer(3, "labelSelectorPath", Text),
    ],
};

static COLUMN: Message = Message {
    name: "CustomResourceColumnDefinition",
    fields: &[
        always(1, "name", Text),
        always(2, "type", Text),
        field(3, "format", Text),
        field(4, "description", Text),
        field(5, "priority", Int32),
        always(6, "jsonPath", Text),
    ],
};

static SELECTABLE_FIELD: Message = Message { name: "SelectableField", fields: &[always(1, "jsonPath", Text)] };

static CONVERSION: Message = Message {
    name: "CustomResourceConversion",
    fields: &[always(1, "strategy", Text), pointer(2, "webhook", Msg(&WEBHOOK))],
};

static WEBHOOK: Message = Message {
    name: "WebhookConversion",
    fields: &[pointer(2, "clientConfig", Msg(&CLIENT_CONFIG)), list(3, "conversionReviewVersions", Text)],
};

/// `WebhookClientConfig`; that of `admissionregistration.k8s.io` has the same form.
pub(super) static CLIENT_CONFIG: Message = Message {
    name: "WebhookClientConfig",
    fields: &[pointer(1, "service", Msg(&SERVICE)), field(2, "caBundle", Bytes), pointer(3, "url", Text)],
};

static SERVICE: Message = Message {
    name: "ServiceReference",
    fields: &[
        always(1, "namespace", Text),
        always(2, "name", Text),
        pointer(3, "path", Text),
        pointer(4, "port", Int32),
    ],
};

static STATUS: Message = Message {
    name: "CustomResourceDefinitionStatus",
    fields: &[
        list(1, "conditions", Msg(&CONDITION)),
        field(2, "acceptedNames", Msg(&NAMES)),
        list(3, "storedVersions", Text),
    ],
};

static CONDITION: Message = Message {
    name: "CustomResourceDefinitionCondition",
    fields: &[
        always(1, "type", Text),
        always(2, "status", Text),
        field(3, "lastTransitionTime", Time),
        field(4, "reason", Text),
        field(5, "message", Text),
    ],
};

static JSON_SCHEMA_PROPS: Message = Message {
    name: "JSONSchemaProps",
    fields: &[
        field(1, "id", Text),
        field(2, "$schema", Text),
        pointer(3, "$ref", Text),
        field(4, "description", Text),
        field(5, "type", Text),
        field(6, "format", Text),
        field(7, "title", Text),
        pointer(8, "default", Json),
        pointer(9, "maximum", Double),
        field(10, "exclusiveMaximum", Bool),
        pointer(11, "minimum", Double),
        field(12, "exclusiveMinimum", Bool),
        pointer(13, "maxLength", Int64),
        pointer(14, "minLength", Int64),
        field(15, "pattern", Text),
        pointer(16, "maxItems", Int64),
        pointer(17, "minItems", Int64),
        field(18, "uniqueItems", Bool),
        pointer(19, "multipleOf", Double),
        list(20, "enum", Json),
        pointer(21, "maxProperties", Int64),
        pointer(22, "minProperties", Int64),
        list(23, "required", Text),
        pointer(24, "items", Type::SchemaOrArray(&JSON_SCHEMA_PROPS)),
        list(25, "allOf", Msg(&JSON_SCHEMA_PROPS)),
        list(26, "oneOf", Msg(&JSON_SCHEMA_PROPS)),
        list(27, "anyOf", Msg(&JSON_SCHEMA_PROPS)),
        pointer(28, "not", Msg(&JSON_SCHEMA_PROPS)),
        field(29, "properties", Type::Map(&Msg(&JSON_SCHEMA_PROPS))),
        pointer(30, "additionalProperties", Type::SchemaOrBool(&JSON_SCHEMA_PROPS)),
        field(31, "patternProperties", Type::Map(&Msg(&JSON_SCHEMA_PROPS))),
        // 32 (dependencies) is refused by the structural rules whatever it holds.
        field(32, "dependencies", Type::Map(&Json)),
        pointer(33, "additionalItems", Type::SchemaOrBool(&JSON_SCHEMA_PROPS)),
        field(34, "definitions", Type::Map(&Msg(&JSON_SCHEMA_PROPS))),
        pointer(35, "externalDocs", Msg(&EXTERNAL_DOCUMENTATION)),
        pointer(36, "example", Json),
        field(37, "nullable", Bool),
        pointer(38, "x-kubernetes-preserve-unknown-fields", Bool),
        field(39, "x-kubernetes-embedded-resource", Bool),
        field(40, "x-kubernetes-int-or-string", Bool),
        list(41, "x-kubernetes-list-map-keys", Text),
        pointer(42, "x-kubernetes-list-type", Text),
        pointer(43, "x-kubernetes-map-type", Text),
        list(44, "x-kubernetes-validations", Msg(&VALIDATION_RULE)),
    ],
};

static EXTERNAL_DOCUMENTATION: Message =
    Message { name: "ExternalDocumentation", fields: &[field(1, "description", Text), field(2, "url", Text)] };

static VALIDATION_RULE: Message = Message {
    name: "ValidationRule",
    fields: &[
        always(1, "rule", Text),
        field(2, "message", Text),
        field(3, "messageExpression", Text),
        pointer(4, "reason", Text),
        field(5, "fieldPath", Text),
        pointer(6, "optionalOldSelf", Bool),
    ],
};
