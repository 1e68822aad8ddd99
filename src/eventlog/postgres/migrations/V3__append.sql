-- Connections of which it was said that nothing they were last told was kept: what still arrives from one must fail.
create table rollcall_log.ended_session (
    session  uuid        not null primary key,
    ended_at timestamptz not null default now()
);
-- Appends a batch right behind the event that a node believes to be the last one. If it is not there any more, or if
-- there is one behind it already, the statement fails and nothing is kept. All of it is one statement: the lock is held
-- while the server works and never while it waits for the node, and what is planned here once is planned for good, also
-- behind a pooler that lets no statement be prepared.
create function rollcall_log.append(
    last bigint, last_id uuid, streams text[], revisions bigint[], ids uuid[], names text[], versions smallint[],
    times bigint[], cores bytea[], ciphertexts bytea[], node text, of_session uuid
) returns void language plpgsql set lock_timeout = '10s' as $$
begin
    perform pg_advisory_xact_lock(1380731971);
    if not exists (select from rollcall_log.event where position = last and id = last_id)
        or exists (select from rollcall_log.ended_session where session = of_session)
    then
        raise exception 'the log does not end where it was believed to' using errcode = 'serialization_failure';
    end if;
    perform set_config('synchronous_commit', 'on', true);
    insert into rollcall_log.event (position, stream, revision, id, name, version, recorded_at, core, blobs)
    select last + e.n, e.stream, e.revision, e.id, e.name, e.version, e.recorded_at, e.core, e.blobs
    from unnest(streams, revisions, ids, names, versions, times, cores, ciphertexts)
        with ordinality as e (stream, revision, id, name, version, recorded_at, core, blobs, n);
    perform pg_notify('rollcall_log', node);
end $$;
