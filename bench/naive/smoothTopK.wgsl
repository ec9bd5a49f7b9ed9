// Naive smooth top-k of one row: the threshold of the sigmoid by halving, by a single invocation.

struct Params { length: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

fn sigmoid(y: f32) -> f32 { return 1.0 / (1.0 + exp(-clamp(y, -80.0, 80.0))); }

@compute @workgroup_size(1)
fn sigmoidTopK() {
  var low = -100.0;
  var high = 100.0;
  for (var step = 0u; step < 40u; step++) {
    let middle = 0.5 * (low + high);
    var sum = 0.0;
    // Blocks, so that rounding errors do not grow with the length.
    for (var start = 0u; start < params.length; start += 1024u) {
      var part = 0.0;
      for (var i = start; i < min(start + 1024u, params.length); i++) { part += sigmoid(x[i] - middle); }
      sum += part;
    }
    if (sum > f32(params.k)) { low = middle; } else { high = middle; }
  }
  for (var i = 0u; i < params.length; i++) { values[i] = sigmoid(x[i] - 0.5 * (low + high)); }
}
