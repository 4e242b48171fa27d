-- What a verification compares with the log besides what readers may read already.
grant select on log.admin_effects to annals_reader;
grant execute on function log.uuid_or_null(text) to annals_reader;
