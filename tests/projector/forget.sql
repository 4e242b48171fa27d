delete from projections.generations where projection = '{{projection}}';
delete from projections.projections where projection = '{{projection}}';
drop schema projection_{{projection}}_1 cascade;
