DROP TABLE graph_transfers, graph_blocks, graph_sources, graph_nodes;
