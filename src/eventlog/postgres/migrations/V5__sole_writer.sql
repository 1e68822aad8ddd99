-- The process that alone may append, where only one may at a time because the keys are in its data directory; null: every
-- node may. What another process sent before it ended may reach the server late: it is not appended any more.
alter table rollcall_log.epoch add column writer text;
create or replace function rollcall_log.append(
    last bigint, last_id uuid, seen text[], seen_at bigint[],
    streams text[], revisions bigint[], ids uuid[], names text[], versions smallint[], times bigint[], cores bytea[],
    ciphertexts bytea[], keys bytea[], fingerprints bytea[], outcomes bytea[], used_at bigint[], node text, of_session uuid
) returns bigint language plpgsql set lock_timeout = '10s' set plan_cache_mode = 'force_generic_plan' as $$
declare
    head bigint;
begin
    perform pg_advisory_xact_lock(1380731971);
    head := (select coalesce(max(position), 0) from rollcall_log.event);
    if last > 0 and not exists (select from rollcall_log.event where position = last and id = last_id)
        or exists (select from rollcall_log.epoch where writer <> node)
        or exists (select from rollcall_log.ended_session where session = of_session)
        or cardinality(seen) > 0 and exists (
            select from unnest(seen, seen_at) as f (stream, revision) where f.revision <> coalesce(
                (select e.revision from rollcall_log.event e where e.stream = f.stream order by e.revision desc limit 1), 0))
        or cardinality(keys) > 0 and exists (select from rollcall_log.outcome where key = any (keys))
    then
        return null;
    end if;
    perform set_config('synchronous_commit', 'on', true);
    insert into rollcall_log.event (position, stream, revision, id, name, version, recorded_at, core, blobs)
    select head + e.n, e.stream, e.revision, e.id, e.name, e.version, e.recorded_at, e.core, e.blobs
    from unnest(streams, revisions, ids, names, versions, times, cores, ciphertexts)
        with ordinality as e (stream, revision, id, name, version, recorded_at, core, blobs, n);
    if cardinality(keys) > 0 then
        insert into rollcall_log.outcome (key, fingerprint, outcome, recorded_at)
        select * from unnest(keys, fingerprints, outcomes, used_at);
    end if;
    perform pg_notify('rollcall_log', format('%s %s %s', node, head + cardinality(ids), ids[cardinality(ids)]));
    return head;
end $$;
