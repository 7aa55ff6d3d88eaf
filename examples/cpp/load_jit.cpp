// Loads the artifact of a `jit` recipe without Python and prints the logits of one batch, a line per image.
//
// Usage: load_jit ARTIFACT_FOLDER BATCH CHANNELS HEIGHT WIDTH [VALUES_FILE]
//
// Images are float32, NCHW. Without a file every value is 1; a file holds the values as raw little-endian floats.

#include <torch/script.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

static torch::Tensor read_images(const char* path, at::IntArrayRef shape) {
    torch::Tensor images = torch::empty(shape);
    const auto bytes = static_cast<std::streamsize>(images.nbytes());
    std::ifstream file(path, std::ios::binary);
    file.read(static_cast<char*>(images.data_ptr()), bytes);
    if (file.gcount() != bytes) throw std::runtime_error(std::string(path) + " holds too few values");
    return images;
}

int main(int argc, char** argv) {
    if (argc != 6 && argc != 7) {
        std::fprintf(stderr, "usage: %s ARTIFACT_FOLDER BATCH CHANNELS HEIGHT WIDTH [VALUES_FILE]\n", argv[0]);
        return 2;
    }
    try {
        std::int64_t shape[4];
        for (int i = 0; i < 4; ++i) shape[i] = std::stoll(argv[i + 2]);
        const torch::Tensor images = argc == 7 ? read_images(argv[6], shape) : torch::ones(shape);

        torch::InferenceMode no_gradients;
        torch::jit::Module model = torch::jit::load(std::string(argv[1]) + "/model.pt");
        model = torch::jit::optimize_for_inference(model);
        const torch::Tensor logits = model.forward({images}).toTensor().contiguous();

        const float* value = logits.data_ptr<float>();
        for (std::int64_t image = 0; image < logits.size(0); ++image) {
            for (std::int64_t i = 0; i < logits.size(1); ++i) std::printf("%.9g ", *value++);
            std::printf("class %lld\n", static_cast<long long>(logits[image].argmax().item<std::int64_t>()));
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
