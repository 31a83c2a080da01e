; What creatures and the clock do to the hero, and what he does to creatures.

.include "memory.inc"

HURT_FRAMES    = 45
HURT_INTERVALS = 8
DEATH_SPEED    = .lobyte(-5)
DEATH_PAUSE    = 24 ; frames
BOUNCE         = .lobyte(-4)

.segment "CODE"

; Harms him: tall, he becomes small; small, he dies. Not while he still blinks.
hurt_player:
  lda hurt_timer
  bne @done
  lda power
  beq kill_player
  lda #0
  sta power
  lda #HURT_INTERVALS
  sta hurt_timer
  lda #HURT_FRAMES
  sta state_timer
  lda #STATE_HURT
  sta player_state
@done:
  rts

kill_player:
  lda #STATE_DIE
  sta player_state
  lda #DEATH_PAUSE
  sta state_timer
  lda #DEATH_SPEED
  sta obj_y_speed
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_y_frac
  sta power
  rts

; Throws him up from what he stamped on.
bounce_player:
  lda #BOUNCE
  sta obj_y_speed
  lda #0
  sta obj_y_frac
  sta rising
  lda #AIR_JUMP
  sta obj_air
  rts
