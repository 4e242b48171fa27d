-- Another holder for a second, as after an expiry that the present one did not notice.
update log.outbox set holder = 'thief', epoch = epoch + 1, expires_at = clock_timestamp() + interval '1 second';
