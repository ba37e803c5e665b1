// Sends one N-best list to LoRB and prints it re-ranked: hypotheses best first, each with its posterior, or "-" if the
// answer has none.
//
//     apt-get install g++ make pkg-config protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev
//     make
//     printf '%s\n' $'-5.1\tthey\'s iron' $'-5.3\tthere\'s iron' | ./rescore localhost:50051 librispeech
//
// One hypothesis a line: the first-pass score (natural log, higher is better), a tab, the words.

#include <chrono>
#include <iomanip>
#include <iostream>
#include <string>

#include <grpcpp/grpcpp.h>

#include "lorb/v1/rescoring.grpc.pb.h"

constexpr std::chrono::seconds kDeadline{10};

int main(int argc, char** argv) {
  const std::string target = argc > 1 ? argv[1] : "localhost:50051";
  lorb::v1::RescoreRequest request;
  request.set_domain(argc > 2 ? argv[2] : "librispeech");
  for (std::string line; std::getline(std::cin, line);) {
    const auto tab = line.find('\t');
    char* end = nullptr;
    const double score = std::strtod(line.c_str(), &end);
    if (tab == std::string::npos || end != line.c_str() + tab) {
      std::cerr << "rescore: not \"score<tab>words\": " << line << "\n";
      return 2;
    }
    auto* hypothesis = request.add_hypotheses();
    hypothesis->set_first_pass_score(score);
    hypothesis->set_transcript(line.substr(tab + 1));
  }

  auto stub = lorb::v1::RescoringService::NewStub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  lorb::v1::RescoreResponse response;
  if (const grpc::Status status = stub->Rescore(&context, request, &response); !status.ok()) {
    std::cerr << "rescore: status " << status.error_code() << ": " << status.error_message() << "\n";
    return 1;
  }
  std::cout << lorb::v1::Outcome_Name(response.outcome()) << "\n" << std::fixed << std::setprecision(3);
  for (const auto& hypothesis : response.hypotheses()) {
    std::cout << hypothesis.index() << "\t";
    if (hypothesis.has_posterior()) {
      std::cout << hypothesis.posterior();
    } else {
      std::cout << "-";
    }
    std::cout << "\t" << hypothesis.transcript() << "\n";
  }
}
