create schema if not exists rollcall_vault;
create table rollcall_vault.vault (
    id         bigint not null primary key check (id = 1),
    vault      bytea  not null,
    generation bigint not null,
    page       bytea  not null,
    kept       bytea  not null,
    settled    bigint not null,
    rotated    bigint not null
);
create table rollcall_vault.subject_key (
    subject bytea  not null,
    epoch   bigint not null,
    wrapped bytea,
    primary key (subject, epoch)
) with (fillfactor = 50);
-- Random bytes do not shrink, and a row is read whole.
alter table rollcall_vault.subject_key alter column wrapped set storage plain;
create table rollcall_vault.app_key (
    app     text  not null primary key,
    wrapped bytea not null
);
create table rollcall_vault.app_secret (
    app     text   not null,
    id      bigint not null,
    wrapped bytea  not null,
    primary key (app, id)
);
create table rollcall_vault.signer (
    id      bigint not null primary key,
    public  bytea  not null,
    wrapped bytea
);
create table rollcall_vault.witnessed (
    id   bigint not null primary key check (id = 1),
    size bigint not null,
    root bytea  not null
);
create table rollcall_vault.destruction (
    number            bigint generated always as identity primary key,
    erasure           bytea  not null unique,
    doomed            text   not null,
    generation_before bigint not null,
    generation_after  bigint not null
);
