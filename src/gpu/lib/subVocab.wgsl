// Columns of the words of sub-vocabularies, chunk by chunk.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct ColumnParams { rows: u32, k: u32, first: u32, columns: u32 }

@group(0) @binding(0) var<uniform> columnParams: ColumnParams;
@group(0) @binding(1) var<storage, read> allColumns: array<u32>;          // [rows, k]
@group(0) @binding(2) var<storage, read_write> taken: array<u32>;         // [rows, columns]

@compute @workgroup_size(WORKGROUP_SIZE)
fn takeColumns(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= columnParams.rows * columnParams.columns) { return; }
  let row = i / columnParams.columns;
  taken[i] = allColumns[row * columnParams.k + columnParams.first + i % columnParams.columns];
}
