create table vault (
    id         integer primary key check (id = 1),
    vault      blob    not null,
    generation integer not null,
    page       blob    not null,
    kept       blob    not null,
    settled    integer not null,
    rotated    integer not null
);
create table subject_key (
    subject blob    not null,
    epoch   integer not null,
    wrapped blob,
    primary key (subject, epoch)
) without rowid;
create table app_key (
    app     text not null primary key,
    wrapped blob not null
) without rowid;
create table app_secret (
    app     text    not null,
    id      integer not null,
    wrapped blob    not null,
    primary key (app, id)
) without rowid;
create table signer (
    id      integer primary key,
    public  blob not null,
    wrapped blob
);
create table witnessed (
    id   integer primary key check (id = 1),
    size integer not null,
    root blob    not null
);
create table destruction (
    number            integer primary key,
    erasure           blob    not null unique,
    doomed            text    not null,
    generation_before integer not null,
    generation_after  integer not null
);
