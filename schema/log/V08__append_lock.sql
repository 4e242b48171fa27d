-- The key of the advisory lock that puts appends in sequence. Advisory locks belong to one database, so a constant
-- does; it is spelled 'annals' in ASCII.
create function log.append_lock() returns bigint
    language sql immutable parallel safe
    return 107126926175347;

revoke execute on function log.append_lock() from public;
