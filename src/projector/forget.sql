-- Drops every generation; explained in schema/read: projections.forget.
select projections.forget()
