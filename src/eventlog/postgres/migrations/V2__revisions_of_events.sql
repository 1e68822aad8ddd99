-- A stream's revision is that of its last event. A row per stream that changed with every event said the same once more,
-- and cost more the longer a foreign transaction kept the server from cleaning up behind it.
drop table rollcall_log.stream_head;
