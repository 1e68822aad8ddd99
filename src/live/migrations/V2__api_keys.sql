-- When each API key was last used.
create table rollcall_live.api_key_use (
    app     text   not null,
    key     bigint not null,
    used_at bigint not null,
    primary key (app, key)
);
