create table if not exists subscription (
    subscriber blob    not null,
    kind       integer not null,
    target     blob    not null,
    since      integer not null,
    seconds    integer not null,
    expires_at integer not null,
    primary key (subscriber, kind, target)
) strict, without rowid;
create index if not exists subscription_target on subscription (target, kind, subscriber);
create index if not exists subscription_expires on subscription (expires_at);
create table if not exists last_seen (
    subject blob not null primary key,
    sealed  blob not null
) strict, without rowid;
create table if not exists api_key_use (
    app     text    not null,
    key     integer not null,
    used_at integer not null,
    primary key (app, key)
) strict, without rowid;
