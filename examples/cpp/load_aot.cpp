// Loads the artifact of an `aot_inductor` recipe without Python or a compiler and prints the logits of one batch.

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include "batch.h"

int main(int argc, char** argv) {
    return answer(argc, argv, [](const std::string& folder, const at::Tensor& images) {
        c10::InferenceMode no_gradients;
        torch::inductor::AOTIModelPackageLoader model(folder + "/model.pt2");
        return model.run({images}).at(0);
    });
}
