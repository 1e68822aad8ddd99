-- No order of a language, which the system's library may change under an index.
alter table rollcall_vault.app_key alter column app type text collate "C";
alter table rollcall_vault.app_secret alter column app type text collate "C";
