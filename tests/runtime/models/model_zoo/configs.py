"""Pieces of configs: features, feature groups, losses and towers."""

FEATURES = """
data_config {
  dataset_type: ParquetDataset fg_mode: FG_NONE
  label_fields: ["click", "buy", "stars"] sample_weight_fields: ["w", "w2"]
}
feature_configs { id_feature { feature_name: "user" expression: "user:user" num_buckets: 9 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "item" expression: "item:item" num_buckets: 11 embedding_dim: 4 } }
feature_configs { id_feature { feature_name: "tags" expression: "item:tags" num_buckets: 7 embedding_dim: 4
                               pooling: "mean" } }
feature_configs { id_feature { feature_name: "city" expression: "user:city" num_buckets: 5 embedding_dim: 6 } }
feature_configs { raw_feature { feature_name: "age" expression: "user:age" } }
feature_configs { raw_feature { feature_name: "price" expression: "item:price" value_dim: 3 } }
feature_configs { sequence_id_feature { feature_name: "seen" expression: "user:seen" num_buckets: 11 embedding_dim: 4
                                        sequence_length: 10 embedding_name: "item_emb" } }
feature_configs { sequence_raw_feature { feature_name: "paid" expression: "user:paid" value_dim: 2
                                         sequence_length: 10 } }
feature_configs { sequence_id_feature { feature_name: "towns" expression: "user:towns" num_buckets: 5 embedding_dim: 6
                                        sequence_length: 10 embedding_name: "city_emb" } }
"""

WIDE = 'feature_groups { group_name: "wide" feature_names: ["user", "item", "tags", "city"] group_type: WIDE }'
DEEP = 'feature_groups { group_name: "deep" feature_names: ["user", "item", "tags"] group_type: DEEP }'
MIXED = 'feature_groups { group_name: "deep" feature_names: ["user", "city", "age", "price"] group_type: DEEP }'
FM = 'feature_groups { group_name: "fm" feature_names: ["item", "user", "tags"] group_type: DEEP }'
ALL = 'feature_groups { group_name: "all" feature_names: ["user", "age", "tags", "item", "price"] group_type: DEEP }'
TWO = """
feature_groups { group_name: "user" feature_names: ["user", "city", "age"] group_type: DEEP }
feature_groups { group_name: "item" feature_names: ["item", "tags"] group_type: DEEP }
"""
SEQ = 'feature_groups { group_name: "seq" feature_names: ["item", "seen", "paid"] group_type: SEQUENCE }'
TRIPS = 'feature_groups { group_name: "trips" feature_names: ["item", "city", "seen", "towns"] group_type: SEQUENCE }'
SPARSE = 'feature_groups { group_name: "sparse" feature_names: ["user", "item", "tags"] group_type: DEEP }'
DENSE = 'feature_groups { group_name: "dense" feature_names: ["age", "price"] group_type: DEEP }'
BCE = "losses { binary_cross_entropy {} } metrics { auc {} } metrics { accuracy {} } train_metrics { auc {} }"
CE3 = "num_class: 3 losses { softmax_cross_entropy {} } metrics { accuracy {} }"
TASKS = """
task_towers { tower_name: "ctr" label_name: "click" losses { binary_cross_entropy {} } metrics { auc {} }
              mlp { hidden_units: [6] } }
task_towers { tower_name: "stars" label_name: "stars" losses { softmax_cross_entropy {} } num_class: 3
              metrics { accuracy {} } }
task_towers { tower_name: "value" label_name: "stars" losses { l2_loss {} } metrics { mean_squared_error {} }
              train_metrics { mean_absolute_error {} } }
"""
