// Loads the artifact of a `jit` recipe without Python and prints the logits of one batch, a line per image.

#include <torch/script.h>

#include "batch.h"

int main(int argc, char** argv) {
    return answer(argc, argv, [](const std::string& folder, const at::Tensor& images) {
        torch::InferenceMode no_gradients;
        torch::jit::Module model = torch::jit::load(folder + "/model.pt");
        model = torch::jit::optimize_for_inference(model);
        return model.forward({images}).toTensor();
    });
}
