-- Whether any API key works now: for the hint at the start of a server. People make keys by hand, so there are few.
select exists (
    select from log.api_keys k
    where k.revoked_at is null
      and (k.expires_at is null or k.expires_at > clock_timestamp())
)
