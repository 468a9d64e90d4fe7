// Times libtorrent's bdecode: for each number of runs on standard input, the nanoseconds they took on standard output.
//
//   libtorrent INPUT

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <libtorrent/bdecode.hpp>

int main(int argc, char** argv)
{
	if (argc != 2) return 2;
	std::ifstream file(argv[1], std::ios::binary);
	std::string const input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
	for (unsigned runs; std::cin >> runs;)
	{
		auto const began = std::chrono::steady_clock::now();
		for (unsigned run = 0; run < runs; ++run)
		{
			libtorrent::error_code error;
			// Its default limit of tokens is too low for the larger inputs.
			auto const node = libtorrent::bdecode(input, error, nullptr, 100, 10'000'000);
			if (error || node.type() != libtorrent::bdecode_node::dict_t) return 1;
		}
		auto const took = std::chrono::steady_clock::now() - began;
		std::cout << std::chrono::duration_cast<std::chrono::nanoseconds>(took).count() << std::endl;
	}
}
