delete from projects p
using events e
where p.id = e.stream_id
