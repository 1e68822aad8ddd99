create schema if not exists rollcall_delivery;
create table rollcall_delivery.webhook_cursor (
    webhook uuid not null primary key,
    position bigint not null
);
create table rollcall_delivery.webhook_delivery (
    webhook uuid not null,
    position bigint not null,
    subject uuid not null,
    state text not null,
    attempts bigint not null,
    next_at bigint,
    status bigint,
    reason text not null,
    primary key (webhook, position)
);
create index webhook_delivery_state on rollcall_delivery.webhook_delivery (webhook, state, position);
