create schema if not exists rollcall_log;
create table rollcall_log.event (
    position    bigint   not null primary key check (position > 0),
    stream      text     not null,
    revision    bigint   not null check (revision > 0),
    id          uuid     not null,
    name        text     not null,
    version     smallint not null,
    recorded_at bigint   not null,
    core        bytea    not null,
    blobs       bytea
);
-- Ciphertexts do not shrink: compressing them is work for nothing.
alter table rollcall_log.event alter column blobs set storage external;
create unique index event_of_stream on rollcall_log.event (stream, revision);
create table rollcall_log.stream_head (
    stream   text   not null primary key,
    revision bigint not null
) with (fillfactor = 70);
create table rollcall_log.outcome (
    key         bytea  not null primary key,
    fingerprint bytea  not null,
    outcome     bytea  not null,
    recorded_at bigint not null
);
create index outcome_by_time on rollcall_log.outcome (recorded_at);
-- Which database this log was last opened in; another one means that it was restored, or that a standby took over.
create table rollcall_log.epoch (
    id     integer not null primary key check (id = 1),
    epoch  bigint  not null,
    origin text    not null,
    -- The vault whose sealed values it holds.
    vault  uuid
);
create function rollcall_log.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'an event is immutable' using errcode = 'restrict_violation';
end $$;
create trigger event_core_is_immutable before update on rollcall_log.event for each row
    when (old.position is distinct from new.position or old.stream is distinct from new.stream
        or old.revision is distinct from new.revision or old.id is distinct from new.id
        or old.name is distinct from new.name or old.version is distinct from new.version
        or old.recorded_at is distinct from new.recorded_at or old.core is distinct from new.core)
    execute function rollcall_log.refuse();
create trigger event_is_never_deleted before delete on rollcall_log.event for each row
    execute function rollcall_log.refuse();
create trigger event_is_never_truncated before truncate on rollcall_log.event for each statement
    execute function rollcall_log.refuse();
