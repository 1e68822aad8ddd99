-- What many events have in common: see dictionary.rs.
create table term (
    kind   integer not null,
    number integer not null,
    bytes  blob    not null,
    primary key (kind, number)
) without rowid;
create view event_name as select number, cast(bytes as text) as name from term where kind = 1;
-- Streams, cores and blobs are packed: see stream_key.rs and pack.rs.
create table event (
    position    integer primary key,
    stream      blob    not null,
    revision    integer not null,
    id          blob    not null,
    name        integer not null,
    version     integer not null,
    recorded_at integer not null,
    core        blob    not null,
    blobs       blob
);
create unique index event_of_stream on event (stream, revision);
create table outcome (
    key         blob    not null primary key,
    fingerprint blob    not null,
    outcome     blob    not null,
    recorded_at integer not null
) without rowid;
create index outcome_by_time on outcome (recorded_at);
create trigger event_core_is_immutable
before update of position, stream, revision, id, name, version, recorded_at, core on event
begin select raise(abort, 'an event is immutable'); end;
create trigger event_is_never_deleted
before delete on event
begin select raise(abort, 'an event is never deleted'); end;
create trigger term_is_immutable
before update on term
begin select raise(abort, 'a term is immutable'); end;
create trigger term_is_never_deleted
before delete on term
begin select raise(abort, 'a term is never deleted'); end;
