"""Why settings of other routers stay behind, in words, by the name of the setting: data."""

from __future__ import annotations

NO_COUNTERPART = "Patchbay has no such setting."
GUARD = "A key that guards another router is never taken over. Make one for each tool: python manage.py keys add NAME"
OWN_ADDRESS = "Where Patchbay listens is its own setting: PATCHBAY_HOST and PATCHBAY_PORT."
TIMEOUT = "Timeouts belong to the backend: set them in the admin, or PATCHBAY_UPSTREAM_TIMEOUTS."
RETRY = "Patchbay makes at most three attempts for a request, over accounts and targets together."
COOLDOWN = "Patchbay benches an account by what its provider reports."
BALANCE = (
    "The targets of one position share the requests by their weights, and the accounts of a backend by its strategy,"
    " which the admin sets."
)
RATE = "Patchbay follows the limits that the provider reports; limits of your own belong to the account, in the admin."
BUDGET = "Money is limited per account: set its limits in the admin."
PRICE = "Prices come from Patchbay's own price table."
LOGS = "Patchbay keeps its history itself and sends it nowhere."
LOG_FILE = "Patchbay logs to standard error; runproxy --verbose writes one line per request."
CACHE = "Patchbay stores no answers to give out again."
REDIS = "A single Patchbay needs no Redis; its own setting for several is REDIS_URL."
DATABASE = "Patchbay keeps its own database: DATABASE_URL."
FORWARDED = "Patchbay forwards the parameters that the client sends and adds none from here."
CLOUD = "Cloud logins that sign requests are not supported."
CALLERS = "Who may call is told by client keys: python manage.py keys add NAME"
PROXY = "Patchbay connects directly and uses no outgoing proxy."
CODE = "Patchbay runs no code from a configuration."
TRANSLATED = "Patchbay translates between the protocols itself, and changes nothing else."
IMITATES = "Patchbay imitates no other product."
OTHERS_LOGIN = (
    "A login made with another program's OAuth client is not taken over. The account waits for a login of your own, or"
    " for a key:"
)
OTHERS_CLIENT = "Another program's OAuth client is not taken over."
ENVIRONMENT = (
    "Patchbay reads its own settings from the environment; a variable matters only where a key refers to it."
)


def _table(**groups: str) -> dict[str, str]:
    """`{name: reason}` from `REASON="name name …"`."""
    known = globals()
    return {name: known[reason] for reason, names in groups.items() for name in names.split()}


LITELLM = _table(
    OWN_ADDRESS="port host",
    GUARD="master_key salt_key",
    TIMEOUT="request_timeout timeout stream_timeout health_check_timeout",
    RETRY="num_retries max_retries retry_policy max_fallbacks retry_after"
    " disable_retry_on_max_parallel_request_limit_error",
    COOLDOWN="allowed_fails allowed_fails_policy cooldown_time disable_cooldowns background_health_checks"
    " health_check_interval health_check_details health_check_model enable_health_check_routing",
    BALANCE="routing_strategy routing_strategy_args enable_tag_filtering tag_filtering_match_any tags"
    " enable_pre_call_checks enable_pre_call_check region_name default_priority optional_pre_call_checks"
    " model_group_retry_policy enable_weighted_failover",
    RATE="rpm tpm max_parallel_requests global_max_parallel_requests default_max_parallel_requests"
    " default_api_key_rpm_limit default_api_key_tpm_limit",
    BUDGET="max_budget budget_duration provider_budget_config max_internal_user_budget internal_user_budget_duration"
    " default_internal_user_params default_team_settings default_team_params upperbound_key_generate_params"
    " default_key_generate_params max_end_user_budget proxy_budget_rescheduler_min_time"
    " proxy_budget_rescheduler_max_time disable_reset_budget budget_reset_at",
    PRICE="input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second"
    " cache_read_input_token_cost cache_creation_input_token_cost input_cost_per_request base_model cost_margin_config"
    " cost_discount_config custom_pricing",
    LOGS="success_callback failure_callback callbacks service_callbacks callback_settings turn_off_message_logging"
    " redact_user_api_key_info langfuse_default_tags alerting alerting_threshold alert_types alerting_args"
    " alert_to_webhook_url spend_report_frequency disable_spend_logs disable_spend_updates"
    " store_prompts_in_spend_logs maximum_spend_logs_retention_period maximum_spend_logs_retention_interval"
    " proxy_batch_write_at telemetry s3_callback_params datadog_params prometheus_metrics_config",
    LOG_FILE="set_verbose json_logs debug_level log_raw_request_response",
    CACHE="cache cache_params cache_kwargs cache_responses caching client_ttl user_api_key_cache_ttl",
    REDIS="redis_host redis_port redis_password redis_db redis_url",
    DATABASE="database_url database_type database_connection_pool_limit database_connection_timeout store_model_in_db"
    " disable_prisma_schema_update allow_requests_on_db_unavailable supported_db_objects database_args",
    FORWARDED="temperature top_p max_tokens max_completion_tokens n stop seed presence_penalty frequency_penalty"
    " extra_body extra_headers default_litellm_params drop_params additional_drop_params modify_params"
    " allowed_openai_params thinking reasoning_effort response_format tools tool_choice user parallel_tool_calls"
    " supports_system_message forward_client_headers_to_llm_api forward_openai_org_id organization headers"
    " merge_reasoning_content_in_choices"
    " use_chat_completions_api use_in_pass_through cache_control_injection_points",
    CLOUD="aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_profile_name aws_role_name"
    " aws_session_name aws_bedrock_runtime_endpoint vertex_project vertex_location vertex_credentials api_version"
    " azure_ad_token tenant_id client_id client_secret use_azure_ad azure_username azure_password",
    CALLERS="enable_jwt_auth litellm_jwtauth custom_auth custom_sso allowed_routes public_routes admin_only_routes"
    " enforce_user_param enforced_params allowed_ips enable_oauth2_auth enable_oauth2_proxy_auth"
    " oauth2_config_mappings litellm_key_header_name key_generation_settings custom_key_generate allow_user_auth"
    " default_team_disabled ui_access_mode service_account_settings allow_client_side_credentials access_groups"
    " team_id",
    CODE="custom_prompt_dict post_call_rules pre_call_rules guardrails custom_provider_map prompts",
)
CCR = _table(
    GUARD="APIKEY apikey APIKEYS",
    OWN_ADDRESS="HOST PORT host port",
    TIMEOUT="API_TIMEOUT_MS",
    PROXY="PROXY_URL HTTPS_PROXY https_proxy httpsProxy",
    LOG_FILE="LOG LOG_LEVEL LOG_FILE",
    CODE="CUSTOM_ROUTER_PATH plugins",
    TRANSLATED="transformers",
) | {
    "longContextThreshold": "There is no longContext model that was taken.",
    "fallback": "Its scenario has no model in Router that was taken.",
}
DARIO = _table(
    OWN_ADDRESS="port host",
    LOG_FILE="logFile",
    IMITATES="stealth strictTls strictTemplate noLiveCapture thinkTime sessionStart session drainOnClose"
    " systemPrompt preserveOrchestrationTags hybridTools mergeTools noAutoDetect",
    FORWARDED="effort maxTokens passthroughBetas",
) | {
    "model": "One model for everything is a flag: runproxy --model NAME.",
    "passthrough": "It is a flag: runproxy --passthrough.",
    "preserveTools": "Patchbay leaves the client's tools as they are; no template replaces them.",
    "pacing": "The least time between two requests is PATCHBAY_MIN_INTERVAL_MS, or the account's own in the admin.",
    "queue": "How long and how many requests wait is set by PATCHBAY_QUEUE_SECONDS and PATCHBAY_QUEUE_MAX.",
    "overageGuard": "Which windows may pay is set per account in the admin, under allowed claims.",
}
