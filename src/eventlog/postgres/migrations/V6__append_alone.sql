-- Where only one process may append, nobody else waits to hear of it: a notification would wake that process itself, and
-- make the commits of the database wait for each other. The rows come from functions of the select list: those of the FROM
-- clause are written to a store of their own first, and copied once more.
create or replace function rollcall_log.append(
    last bigint, last_id uuid, seen text[], seen_at bigint[],
    streams text[], revisions bigint[], ids uuid[], names text[], versions smallint[], times bigint[], cores bytea[],
    ciphertexts bytea[], keys bytea[], fingerprints bytea[], outcomes bytea[], used_at bigint[], node text, of_session uuid
) returns bigint language plpgsql set lock_timeout = '10s' set plan_cache_mode = 'force_generic_plan' as $$
declare
    head bigint;
    sole_writer text;
begin
    perform pg_advisory_xact_lock(1380731971);
    head := (select coalesce(max(position), 0) from rollcall_log.event);
    sole_writer := (select writer from rollcall_log.epoch);
    if last > 0 and not exists (select from rollcall_log.event where position = last and id = last_id)
        or sole_writer <> node
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
    select head + generate_series(1, cardinality(ids)), unnest(streams), unnest(revisions), unnest(ids), unnest(names),
        unnest(versions), unnest(times), unnest(cores), unnest(ciphertexts);
    if cardinality(keys) > 0 then
        insert into rollcall_log.outcome (key, fingerprint, outcome, recorded_at)
        select * from unnest(keys, fingerprints, outcomes, used_at);
    end if;
    if sole_writer is null then
        perform pg_notify('rollcall_log', format('%s %s %s', node, head + cardinality(ids), ids[cardinality(ids)]));
    end if;
    return head;
end $$;
