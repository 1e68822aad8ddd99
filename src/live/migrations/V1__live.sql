create schema if not exists rollcall_live;
-- Who is connected need not outlive a crash of the server: each node finds its row gone and announces its connections again.
-- All of these tables are emptied together.
create unlogged table rollcall_live.node (
    node        uuid        not null,
    epoch       bigint      not null check (epoch > 0),
    lease_until timestamptz not null,
    primary key (node, epoch)
);
create unlogged table rollcall_live.connection (
    node       uuid     not null,
    epoch      bigint   not null,
    connection uuid     not null,
    subject    uuid     not null,
    platform   smallint not null,
    since      bigint   not null,
    primary key (node, epoch, connection)
);
create index connection_subject on rollcall_live.connection (subject);
create unlogged table rollcall_live.change (
    seq        bigint      generated always as identity primary key,
    node       uuid        not null,
    subject    uuid        not null,
    subscriber uuid,
    at         timestamptz not null default clock_timestamp()
);
-- These are kept: nobody could say them again.
create table rollcall_live.subscription (
    subscriber uuid     not null,
    kind       smallint not null,
    target     uuid     not null,
    since      bigint   not null,
    seconds    bigint   not null,
    expires_at bigint   not null,
    primary key (subscriber, kind, target)
);
create index subscription_target on rollcall_live.subscription (target, kind, subscriber);
create index subscription_expires on rollcall_live.subscription (expires_at);
create table rollcall_live.last_seen (
    subject uuid  not null primary key,
    sealed  bytea not null
);
