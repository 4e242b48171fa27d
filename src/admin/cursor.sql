-- Up to where admins' events were made true.
select position from log.admin_effects
