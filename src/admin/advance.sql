-- Notes that admins' events up to $1 were made true; never back.
update log.admin_effects set position = $1 where position < $1
