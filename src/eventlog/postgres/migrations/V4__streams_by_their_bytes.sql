-- A stream is found by its bytes: comparing by the words of some language costs more, and an index in such an order is wrong
-- once the system's library orders that language in another way.
drop trigger event_core_is_immutable on rollcall_log.event;
alter table rollcall_log.event alter column stream type text collate "C";
create trigger event_core_is_immutable before update on rollcall_log.event for each row
    when (old.position is distinct from new.position or old.stream is distinct from new.stream
        or old.revision is distinct from new.revision or old.id is distinct from new.id
        or old.name is distinct from new.name or old.version is distinct from new.version
        or old.recorded_at is distinct from new.recorded_at or old.core is distinct from new.core)
    execute function rollcall_log.refuse();
